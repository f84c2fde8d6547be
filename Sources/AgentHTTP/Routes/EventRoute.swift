import AgentAPI
import AgentCore
import HTTPTypes
import HummingbirdCore

/// What happens, as it happens.
struct EventRoute: Sendable {
    let events: any EventOperations

    /// Names instances and images, so it is for those who may see instances; of images others see nothing here.
    var route: Route {
        Route(.followEvents, produces: .events) { call in
            try call.query.check(only: ["after"])
            let seesImages = call.identity?.allows(.scope(Scope(.image, .read))) ?? true
            return .events(events.events(after: try Self.position(call.query["after"])), for: call) { event in
                let isOfImages = event.event.kind == .imageStatus || event.event.kind == .imageDeleted
                return isOfImages && !seesImages ? nil : EventResponse(event)
            }
        }
    }

    private static func position(_ text: String?) throws(AgentError) -> Int? {
        guard let text, !text.isEmpty else { return nil }
        guard let number = Int(text), number >= 0 else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_after",
                "after '\(text.prefix(50))' is not the number of an event: it must be 0 or more"
            )
        }
        return number
    }
}

extension EventResponse {
    init(_ event: Event) {
        self.init(
            sequence: event.sequence,
            time: event.event.time,
            kind: event.event.kind.rawValue,
            subject: event.event.subject,
            attributes: event.event.attributes
        )
    }
}
