public import Foundation
import Yams

/// Checks requests against an OpenAPI document, as far as Cloud Hypervisor's uses it.
public struct Specification: Sendable {
    private static let prefix = "/api/v1"
    /// By OpenAPI's names, and those that the document made up itself.
    private static let ranges: [String: ClosedRange<Int>] = [
        "int8": -128...127, "uint8": 0...255, "int16": -32768...32767, "uint16": 0...65535,
        "int32": Int(Int32.min)...Int(Int32.max), "uint32": 0...Int(UInt32.max), "int64": Int.min...Int.max,
    ]

    private let document: JSON

    /// The document that lies beside this file.
    public static var path: String {
        URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Specification/cloud-hypervisor.yaml").path()
    }

    public init(path: String = Self.path) throws {
        document = try YAMLDecoder().decode(JSON.self, from: String(contentsOfFile: path, encoding: .utf8))
    }

    /// What is wrong with a request; nothing if it is as documented.
    public func problems(method: String, uri: String, contentType: String?, body: Data) -> [String] {
        guard uri.hasPrefix(Self.prefix), let path = document["paths"]?[String(uri.dropFirst(Self.prefix.count))] else {
            return ["there is no path \(uri)"]
        }
        guard let operation = path[method.lowercased()] else { return ["\(uri) takes no \(method)"] }
        guard let request = operation["requestBody"] else {
            return body.isEmpty ? [] : ["\(uri) takes no body"]
        }
        guard !body.isEmpty else {
            return request["required"]?.isTrue == true ? ["\(uri) needs a body"] : []
        }
        guard let type = contentType, let schema = request["content"]?[type]?["schema"] else {
            return ["\(uri) takes no body of the type \(contentType ?? "nil")"]
        }
        guard let value = try? JSON(body) else { return ["the body is not JSON"] }
        return problems(value, schema, "")
    }

    /// What is wrong with the body of an answer with status 200.
    public func problems(answerTo method: String, _ uri: String, body: Data) -> [String] {
        let operation = document["paths"]?[String(uri.dropFirst(Self.prefix.count))]?[method.lowercased()]
        guard let schema = operation?["responses"]?["200"]?["content"]?["application/json"]?["schema"] else {
            return ["\(uri) has no answer with a body"]
        }
        guard let value = try? JSON(body) else { return ["the answer is not JSON"] }
        return problems(value, schema, "")
    }

    /// What is wrong with a value by the schema of a name.
    public func problems(_ value: JSON, schema name: String) -> [String] {
        guard let schema = document["components"]?["schemas"]?[name] else { return ["there is no schema \(name)"] }
        return problems(value, schema, "")
    }

    private func problems(_ value: JSON, _ schema: JSON, _ place: String) -> [String] {
        if let reference = schema["$ref"]?.text {
            return problems(value, schema: String(reference.split(separator: "/").last ?? "")).map { place + $0 }
        }
        let here = place.isEmpty ? "the value" : place
        switch (schema["type"]?.text, value) {
        case ("object", .object(let members)): return problems(members, schema, place)
        case ("array", .array(let elements)):
            guard let items = schema["items"] else { return [] }
            return elements.enumerated().flatMap { problems($1, items, "\(place)[\($0)]") }
        case ("string", .string(let text)):
            let allowed = schema["enum"]?.elements ?? []
            guard !allowed.isEmpty, !allowed.contains(.string(text)) else { return [] }
            return ["\(here): '\(text)' is not one of \(allowed.compactMap(\.text))"]
        case ("boolean", .bool): return []
        case ("integer", .integer(let number)): return problems(number, schema, here)
        case (let type?, .integer(let number)) where Self.ranges[type] != nil:
            return Self.ranges[type]?.contains(number) == true ? [] : ["\(here): \(number) is no \(type)"]
        case (let type, _): return ["\(here) is not of the type \(type ?? "nil")"]
        }
    }

    private func problems(_ members: [String: JSON], _ schema: JSON, _ place: String) -> [String] {
        var found = (schema["required"]?.elements ?? []).compactMap(\.text).filter { members[$0] == nil }
            .map { "\(place).\($0) is missing" }
        for (name, member) in members.sorted(by: { $0.key < $1.key }) {
            if let known = schema["properties"]?[name] {
                found += problems(member, known, "\(place).\(name)")
            } else if let others = schema["additionalProperties"] {
                found += problems(member, others, "\(place).\(name)")
            } else if schema["properties"] != nil {
                found.append("\(place).\(name) is not known")
            }
        }
        return found
    }

    private func problems(_ number: Int, _ schema: JSON, _ here: String) -> [String] {
        if let format = schema["format"]?.text, let range = Self.ranges[format], !range.contains(number) {
            return ["\(here): \(number) is no \(format)"]
        }
        if let minimum = schema["minimum"]?.integer, number < minimum { return ["\(here): \(number) < \(minimum)"] }
        if let maximum = schema["maximum"]?.integer, number > maximum { return ["\(here): \(number) > \(maximum)"] }
        return []
    }
}
