import AgentCore
import Foundation
import Yams

/// The API's own description, in its two forms.
struct PublishedDocument: Sendable {
    let yaml: String
    let json: Data

    /// Prepares the document that this build contains.
    init() throws {
        yaml = OpenAPIDocument.yaml
        guard let value = try Yams.load(yaml: yaml) else {
            throw AgentError(.internal, "the built-in OpenAPI document is empty: rebuild it with 'make oapi-generate'")
        }
        json = try JSONSerialization.data(withJSONObject: value, options: [.sortedKeys, .withoutEscapingSlashes])
    }
}
