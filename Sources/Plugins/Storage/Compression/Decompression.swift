import AgentCore
import Glibc
import SystemPackage
import Tar

extension LayerBlob.Compression {
    /// How many of a file's first bytes say what it holds.
    static let magicLength = 4

    /// What the first bytes of a file say (RFC 1952, RFC 8878).
    init(magic: [UInt8]) {
        if magic.starts(with: [0x1f, 0x8b]) {
            self = .gzip
        } else if magic.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) {
            self = .zstd
        } else {
            self = .none
        }
    }

    /// What a file holds, by its first bytes.
    static func detect(in path: FilePath, at offset: Int = 0) throws -> LayerBlob.Compression {
        try Files.translating("cannot read \(path)") {
            let descriptor = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
            return try descriptor.closeAfter {
                var magic = [UInt8](repeating: 0, count: magicLength)
                let count = try magic.withUnsafeMutableBytes {
                    try descriptor.read(fromAbsoluteOffset: Int64(offset), into: $0)
                }
                return LayerBlob.Compression(magic: Array(magic[..<count]))
            }
        }
    }

    /// A source of the unpacked bytes.
    func unpack(_ source: any ByteSource, limits: ImageLimits) throws -> any ByteSource {
        switch self {
        case .none: LimitedSource(source, limits: limits)
        case .gzip: GzipSource(source, limits: limits)
        case .zstd: try ZstdSource(source, limits: limits)
        }
    }
}

/// Passes bytes through up to the limit of size.
final class LimitedSource: ByteSource {
    private let source: any ByteSource
    private let maximum: ByteSize
    private var count = 0

    init(_ source: any ByteSource, limits: ImageLimits) {
        self.source = source
        maximum = limits.maximumSize
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let read = try source.read(into: buffer)
        count += read
        guard count <= maximum.bytes else { throw DecodingFailure("it is larger than \(maximum), which is the limit") }
        return read
    }
}
