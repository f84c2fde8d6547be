import AgentCore
import AgentTestSupport

/// An OCI layout in a tar, put together by hand: whatever its parts hold, digests and sizes fit, so that they are read.
struct OCIArchive {
    var layers: [[UInt8]]
    /// Of the uncompressed layers, where they are not the layers' own.
    var diffIDs: [String]?
    /// Changes a document before its digest is taken; the name is `configuration`, `manifest` or `index`.
    var change: (String, [UInt8]) -> [UInt8] = { $1 }

    init(layers: [[UInt8]], diffIDs: [String]? = nil) {
        self.layers = layers
        self.diffIDs = diffIDs
    }

    func bytes() -> [UInt8] {
        var tar = TarBuilder()
        tar.file("oci-layout", Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8))
        func blob(_ bytes: [UInt8]) -> String {
            let digest = ServedImage.digest(bytes)
            tar.file("blobs/sha256/\(digest.dropFirst(7))", bytes)
            return #""digest":"\#(digest)","size":\#(bytes.count)"#
        }
        let layers = self.layers.map { "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\(blob($0))}" }
        let diffIDs = (self.diffIDs ?? self.layers.map(ServedImage.digest)).map { "\"\($0)\"" }.joined(separator: ",")
        let configuration = change(
            "configuration",
            Array(
                #"{"architecture":"\#(Platform.host.architecture)","os":"linux","config":{"Cmd":["sh"],"Env":["A=b"],"User":"1:2"},"rootfs":{"type":"layers","diff_ids":[\#(diffIDs)]}}"#
                    .utf8
            )
        )
        let manifest = change(
            "manifest",
            Array(
                #"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json",\#(blob(configuration))},"layers":[\#(layers.joined(separator: ","))]}"#
                    .utf8
            )
        )
        let index = change("index", Array(#"{"schemaVersion":2,"manifests":[{\#(blob(manifest))}]}"#.utf8))
        tar.file("index.json", index)
        return tar.finished()
    }
}
