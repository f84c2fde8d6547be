import Foundation
public import SystemPackage

/// The programs that `swift build --build-tests` made beside the tests.
public enum BuiltProgram {
    private static let products: FilePath = {
        var path = FilePath(Bundle.main.executablePath ?? CommandLine.arguments[0])
        path.removeLastComponent()
        return path
    }()

    /// Where one is.
    public static func path(_ name: String) -> FilePath {
        // The runner is inside a bundle's directory where there is one.
        for directory in [products, FilePath(FileManager.default.currentDirectoryPath).pushing(".build/debug")] {
            let path = directory.pushing(FilePath(name))
            if FileManager.default.isExecutableFile(atPath: path.string) { return path }
        }
        return products.pushing(FilePath(name))
    }
}
