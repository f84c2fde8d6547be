import AgentAPI
import AgentCore
import HTTPTypes
import Testing

@testable import AgentHTTP

/// The one table of errors.
@Suite struct ErrorTableTests {
    @Test func everyKindHasAnErrorStatus() {
        for kind in AgentError.Kind.allCases {
            #expect((400..<600).contains(kind.status.code), "\(kind)")
        }
    }

    @Test(arguments: [
        (AgentError.Kind.invalidArgument, 400), (.unauthenticated, 401), (.permissionDenied, 403), (.notFound, 404),
        (.alreadyExists, 409), (.ambiguous, 409), (.invalidState, 409), (.rateLimited, 429), (.notSupported, 501),
        (.storageFull, 507), (.internal, 500),
    ])
    func existingClientsKnowTheStatus(kind: AgentError.Kind, status: Int) {
        #expect(kind.status.code == status)
    }

    @Test func imageThatIsNotReadyIs400() {
        #expect(AgentError(.invalidState, code: "image_not_ready", "x").status.code == 400)
    }

    @Test func causeOfAnInternalErrorStaysInside() {
        struct Secret: Error {}
        #expect(AgentError(.internal, "it failed", cause: Secret()).response.message == "it failed")
        #expect(AgentError(.unavailable, "no answer", cause: Secret()).response.message == "no answer: Secret()")
    }
}
