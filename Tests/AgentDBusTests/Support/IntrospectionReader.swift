import AgentTestSupport
import Foundation

/// Reads introspection data, without its comments, into lines that can be compared.
///
/// A reader of its own for the few elements that there are: Foundation's XML parser is a library more to link.
final class IntrospectionReader {
    private(set) var interfaces: [(name: String, members: [String])] = []

    func read(_ data: Data) throws {
        var text = String(decoding: data, as: UTF8.self)
        text.replace(/<!--(?:[^-]|-[^-])*-->/, with: "")
        var open = ""
        var inputs: [String] = []
        var outputs: [String] = []
        var annotation = ""
        func finish() {
            guard !open.isEmpty, !interfaces.isEmpty else { return }
            if open.hasPrefix("method ") {
                open += "(\(inputs.joined(separator: ", "))) -> (\(outputs.joined(separator: ", ")))"
            }
            if open.hasPrefix("signal ") { open += "(\(inputs.joined(separator: ", ")))" }
            interfaces[interfaces.count - 1].members.append(open + annotation)
            (open, inputs, outputs, annotation) = ("", [], [], "")
        }
        for tag in text.matches(of: /<(\/?)([a-z]+)([^>]*?)(\/?)>/) {
            let (isEnd, element, isEmpty) = (!tag.1.isEmpty, tag.2, !tag.4.isEmpty)
            var attributes: [String: String] = [:]
            for attribute in tag.3.matches(of: /([a-z]+)="([^"]*)"/) {
                attributes[String(attribute.1)] = String(attribute.2)
            }
            let name = attributes["name"] ?? ""
            switch element {
            case "interface" where !isEnd: interfaces.append((name, []))
            case "method", "signal", "property":
                if !isEnd {
                    open =
                        element == "property"
                        ? "property \(attributes["type"] ?? "") \(name) \(attributes["access"] ?? "")"
                        : "\(element) \(name)"
                }
                if isEnd || isEmpty { finish() }
            case "arg" where !isEnd:
                let argument = "\(attributes["type"] ?? "") \(name)"
                if attributes["direction"] == "out" { outputs.append(argument) } else { inputs.append(argument) }
            case "annotation" where !isEnd: annotation = " [\(attributes["value"] ?? "")]"
            default: break
            }
        }
    }
}
