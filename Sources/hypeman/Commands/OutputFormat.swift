import AgentAPI
import ArgumentParser
import Foundation
import Yams

/// How lists are printed.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
    case table
    case json
    case yaml

    /// Prints values; the table is made only if it is wanted.
    func print(_ values: some Encodable, table: () throws -> Table) throws {
        switch self {
        case .table: for line in try table().lines { Swift.print(line) }
        case .json: Swift.print(String(decoding: try APIJSON.encode(values, pretty: true), as: UTF8.self))
        case .yaml: Swift.print(try Self.yaml(values), terminator: "")
        }
    }

    /// Through JSON, so that the names and forms are those of the API.
    static func yaml(_ values: some Encodable) throws -> String {
        let object = try JSONSerialization.jsonObject(with: try APIJSON.encode(values), options: [.fragmentsAllowed])
        return try Yams.dump(object: object, allowUnicode: true, sortKeys: true)
    }
}
