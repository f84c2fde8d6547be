import AgentTestSupport
import Foundation
import SystemPackage

extension Scratch {
    func directory(_ name: String) throws -> FilePath {
        let directory = path.appending(name)
        try FileManager.default.createDirectory(atPath: directory.string, withIntermediateDirectories: false)
        return directory
    }

    func contents(of name: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path.appending(name).string).sorted()
    }
}
