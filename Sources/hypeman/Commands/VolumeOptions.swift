import AgentAPI
import ArgumentParser

/// A size of a volume on the command line: whole GiB, as `10GB`, `10G`, `10` or `1TB`.
struct VolumeSize: ExpressibleByArgument, Sendable, Hashable {
    var gigabytes: Int

    init(gigabytes: Int) { self.gigabytes = gigabytes }

    init?(argument: String) {
        let digits = argument.prefix { $0.isASCII && $0.isNumber }
        guard let count = Int(digits), count > 0, count <= 1 << 20 else { return nil }
        switch argument.dropFirst(digits.count).lowercased() {
        case "", "g", "gb", "gib": gigabytes = count
        case "t", "tb", "tib": gigabytes = count << 10
        default: return nil
        }
    }

    var defaultValueDescription: String { "\(gigabytes)GB" }

    /// As an instance's own disk has it.
    static let standard = VolumeSize(gigabytes: 10)
}

/// A volume and its place on the command line: `NAME:/path`, with `:ro` or `:overlay` behind it.
struct VolumeOption: Sendable, Hashable {
    private static let overlaySize = "10GB"

    var volume: String
    var path: String
    var isReadOnly = false
    /// Of a disk of the instance's own over it; nil is without.
    var overlaySize: String?

    /// - Throws: `ValidationError` that says what to write instead.
    init(_ text: String) throws {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        if parts.count == 1 {
            throw ValidationError("'\(text)' does not say which volume goes where: write NAME:/path, as data:\(text).")
        }
        guard !parts[0].hasPrefix("/"), !parts[0].hasPrefix("."), !parts[0].hasPrefix("~") else {
            throw ValidationError(
                "'\(text)' names a directory of the host, which a virtual machine cannot have: make a volume of it with "
                    + "tar -C \(parts[0]) -c . | hypeman volume create --from - NAME."
            )
        }
        guard parts.count <= 3, !parts[0].isEmpty, parts[1].hasPrefix("/") else {
            throw ValidationError(
                "'\(text)' is no volume and its place: write NAME:/path, NAME:/path:ro or NAME:/path:overlay."
            )
        }
        (volume, path) = (parts[0], parts[1])
        for word in parts.count == 3 ? parts[2].split(separator: ",").map(String.init) : [] {
            switch word {
            case "rw": break
            case "ro": isReadOnly = true
            case "overlay": (isReadOnly, overlaySize) = (true, Self.overlaySize)
            default:
                guard word.hasPrefix("overlay="), word.count > 8 else {
                    throw ValidationError("'\(text)': '\(word)' is not one of rw, ro, overlay and overlay=SIZE.")
                }
                (isReadOnly, overlaySize) = (true, String(word.dropFirst(8)))
            }
        }
    }

    /// What to send, for the volume of an id.
    func body(volumeID: String) -> VolumeMountBody {
        VolumeMountBody(
            volumeID: volumeID,
            mountPath: path,
            readonly: isReadOnly ? true : nil,
            overlay: overlaySize == nil ? nil : true,
            overlaySize: overlaySize
        )
    }
}

/// The volumes of an instance; for `run`.
struct VolumeOptions: ParsableArguments {
    @Option(
        name: [.customShort("v"), .customLong("volume")],
        help: """
            Mount a volume: NAME:/path, NAME:/path:ro, or NAME:/path:overlay, which keeps what is written in the \
            instance. One that does not exist is made.
            """
    )
    var volume: [String] = []

    @Option(help: "The size of a volume that is made.")
    var volumeSize = VolumeSize.standard

    func validate() throws {
        for text in volume { _ = try VolumeOption(text) }
    }

    func wanted() throws -> WantedVolumes {
        WantedVolumes(options: try volume.map { try VolumeOption($0) }, size: volumeSize)
    }
}

/// The volumes that an instance is to have.
struct WantedVolumes: Sendable, Hashable {
    var options: [VolumeOption]
    /// Of those that are made.
    var size: VolumeSize

    /// Finds the volumes, and makes those that are not there.
    ///
    /// - Returns: What to send; nil where there are none.
    func prepare(_ client: AgentClient) async throws -> [VolumeMountBody]? {
        var bodies: [VolumeMountBody] = []
        for option in options {
            bodies.append(option.body(volumeID: try await client.volume(named: option.volume, makingWith: size).id))
        }
        return bodies.isEmpty ? nil : bodies
    }
}

extension AgentClient {
    /// The path of a volume.
    static func path(volume: String) -> String { "/volumes/\(PercentEncoding.encode(volume))" }

    /// The volume that has exactly this name or id; a prefix is not enough, where one is made otherwise.
    func volume(named name: String, makingWith size: VolumeSize) async throws -> VolumeResponse {
        if let found = try await volume(named: name) { return found }
        do {
            return try await call(.post, "/volumes", body: CreateVolumeBody(name: name, size: size.gigabytes))
        } catch let error as AgentRefusal where error.answer.code == "name_conflict" {
            // Somebody else was quicker.
            guard let found = try await volume(named: name) else { throw error }
            return found
        }
    }

    private func volume(named name: String) async throws -> VolumeResponse? {
        let path = "/volumes?name=\(PercentEncoding.encode(name))"
        if let found = try await call(.get, path, as: [VolumeResponse].self).first { return found }
        do {
            let found = try await call(.get, Self.path(volume: name), as: VolumeResponse.self)
            return found.id == name ? found : nil
        } catch let error as AgentRefusal where error.status == 404 || error.answer.code == "ambiguous" {
            return nil
        }
    }
}
