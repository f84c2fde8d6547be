import Foundation
public import SystemPackage

/// OCI layouts made with umoci out of layer tars.
public enum Layout {
    /// Makes the layout directory `name` with an image `image:1`.
    public static func make(_ layers: [[UInt8]], in scratch: Scratch, name: String = "layout") async throws -> FilePath
    {
        let layout = scratch.appending(name)
        try await tool("umoci", ["init", "--layout", layout.string])
        try await tool("umoci", ["new", "--image", "\(layout):image"])
        for (index, layer) in layers.enumerated() {
            let tar = try scratch.write(layer, to: "\(name)-\(index).tar")
            try await tool("umoci", ["raw", "add-layer", "--image", "\(layout):image", tar.string])
        }
        return layout
    }

    /// Puts a layout into a tar.
    public static func archive(_ layout: FilePath, in scratch: Scratch, name: String = "layout.tar") async throws
        -> FilePath
    {
        let path = scratch.appending(name)
        try await tool("tar", ["-cf", path.string, "-C", layout.string, "."])
        return path
    }

    /// What umoci makes of it.
    public static func unpack(_ layout: FilePath, in scratch: Scratch) async throws -> FilePath {
        let bundle = scratch.appending("bundle-\(UUID().uuidString)")
        try await tool("umoci", ["unpack", "--image", "\(layout):image", bundle.string])
        return bundle.appending("rootfs")
    }
}
