import AgentTestSupport
import Foundation
import Yams

@testable import AgentHTTP

/// The API's description, to hold answers against: the subset of JSON Schema that openapi.yaml uses.
struct Contract: Sendable {
    /// As it is embedded in the server.
    static let published = Result { try Contract() }

    /// `GET /images/{name}` and so on.
    let operations: [String: [String: any Sendable]]
    private let components: [String: any Sendable]

    private init() throws {
        let document = try Self.object(try Yams.load(yaml: OpenAPIDocument.yaml))
        var operations: [String: [String: any Sendable]] = [:]
        for (path, methods) in try Self.object(document["paths"]) {
            for (method, operation) in try Self.object(methods)
            where ["get", "post", "put", "patch", "delete"].contains(method) {
                operations["\(method.uppercased()) \(path)"] = try Self.object(operation)
            }
        }
        self.operations = operations
        components = try Self.object(document["components"])
    }

    /// Checks an answer's status and JSON body.
    ///
    /// - Throws: ``ToolFailure`` that says where the body and the document disagree.
    func check(method: String, path: String, status: Int, body: Data) throws {
        let plain = path.prefix { $0 != "?" }
        guard let operation = operation(method, plain) else {
            // What only errors are answered for need not be described.
            guard status < 400 else { return }
            throw ToolFailure(description: "openapi.yaml has no \(method) \(plain), answered with \(status)")
        }
        let responses = try Self.object(operation["responses"])
        guard let response = responses["\(status)"] ?? (status >= 400 ? responses["default"] : nil) else {
            throw ToolFailure(description: "openapi.yaml has no status \(status) for \(method) \(plain)")
        }
        let content = try Self.object(try resolve(response))["content"]
        guard let content, let json = try Self.object(content)["application/json"], !body.isEmpty else { return }
        let value = try JSONSerialization.jsonObject(with: body, options: .fragmentsAllowed)
        try validate(value, try Self.object(json)["schema"] ?? [String: any Sendable](), at: "\(method) \(plain)")
    }

    private func operation(_ method: String, _ path: Substring) -> [String: any Sendable]? {
        let parts = path.split(separator: "/")
        let fitting = operations.filter { key, _ in
            let template = key.split(separator: " ")[1].split(separator: "/")
            return key.hasPrefix("\(method) ") && template.count == parts.count
                && zip(template, parts).allSatisfy { $0.hasPrefix("{") || $0 == $1 }
        }
        // A path without parameters wins: /images/import is no image.
        return fitting.min { $0.key.filter { $0 == "{" }.count < $1.key.filter { $0 == "{" }.count }?.value
    }

    private func resolve(_ value: any Sendable) throws -> any Sendable {
        guard let reference = try Self.object(value)["$ref"] as? String else { return value }
        let parts = reference.split(separator: "/")
        guard parts.count == 4, let found = try Self.object(components[String(parts[2])])[String(parts[3])] else {
            throw ToolFailure(description: "openapi.yaml refers to \(reference), which is not there")
        }
        return found
    }

    private func validate(_ value: Any, _ given: any Sendable, at place: String) throws {
        let schema = try Self.object(try resolve(given))
        func fail(_ what: String) -> ToolFailure { ToolFailure(description: "\(place): \(what)") }
        let types =
            (schema["type"] as? [any Sendable])?.compactMap { $0 as? String }
            ?? [schema["type"] as? String].compactMap { $0 }
        if value is NSNull {
            guard types.contains("null") else { throw fail("null, expected \(types)") }
            return
        }
        if let allowed = schema["enum"] as? [any Sendable], let text = value as? String {
            guard allowed.contains(where: { $0 as? String == text }) else { throw fail("'\(text)' is not listed") }
        }
        for type in types where type != "null" {
            let number = value as? NSNumber
            let fits =
                switch type {
                case "object": value is [String: Any]
                case "array": value is [Any]
                case "string": value is String
                case "boolean": number != nil
                case "integer": number.map { $0.doubleValue == $0.doubleValue.rounded() } ?? false
                case "number": number != nil
                default: throw fail("the document's type '\(type)' is not known")
                }
            guard fits else { throw fail("\(value) is not of type \(type)") }
        }
        if let items = schema["items"], let list = value as? [Any] {
            for (index, item) in list.enumerated() { try validate(item, items, at: "\(place)[\(index)]") }
        }
        if let object = value as? [String: Any] { try validate(object, schema, at: place) }
    }

    private func validate(_ object: [String: Any], _ schema: [String: any Sendable], at place: String) throws {
        let properties = try schema["properties"].map(Self.object) ?? [:]
        for name in (schema["required"] as? [any Sendable]) ?? [] {
            guard let name = name as? String, object[name] != nil else {
                throw ToolFailure(description: "\(place): '\(name)' is required and not there")
            }
        }
        for (name, value) in object {
            if let property = properties[name] {
                try validate(value, property, at: "\(place).\(name)")
            } else if let additional = schema["additionalProperties"], !(additional is Bool) {
                try validate(value, additional, at: "\(place).\(name)")
            } else if !properties.isEmpty, schema["additionalProperties"] as? Bool != true {
                throw ToolFailure(description: "\(place): '\(name)' is not in the document")
            }
        }
    }

    private static func object(_ value: Any?) throws -> [String: any Sendable] {
        guard let object = value as? [String: any Sendable] else {
            throw ToolFailure(description: "openapi.yaml: \(String(describing: value)) is not a mapping")
        }
        return object
    }
}
