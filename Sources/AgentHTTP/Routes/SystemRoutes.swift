import AgentAPI
import AgentCore
import HTTPTypes
import HummingbirdCore
import NIOCore
import ServiceLifecycle

/// Health, abilities, and the API's own description.
struct SystemRoutes: Sendable {
    let information: AgentInformation
    let document: PublishedDocument

    var routes: [Route] {
        [
            Route(.getHealth) { call in
                try call.query.check(only: [])
                return try .json(HealthResponse(status: "ok"))
            },
            // The listener opens once the state is loaded and adopted, so who gets an answer gets this one, until the
            // agent is told to stop.
            Route(.getReady) { call in
                try call.query.check(only: [])
                guard !Task.isShuttingDownGracefully else {
                    throw AgentError(.unavailable, code: "shutting_down", "the agent is stopping")
                }
                return try .json(HealthResponse(status: "ready"))
            },
            Route(.getCapabilities) { call in
                try call.query.check(only: [])
                return try .cacheable(capabilities, for: call)
            },
            Route(.getSpecificationYAML, produces: .yaml) { _ in
                Response(
                    status: .ok,
                    headers: [.contentType: "application/yaml"],
                    body: ResponseBody(byteBuffer: ByteBuffer(string: document.yaml))
                )
            },
            Route(.getSpecificationJSON) { _ in
                Response(
                    status: .ok,
                    headers: [.contentType: "application/json"],
                    body: ResponseBody(byteBuffer: ByteBuffer(bytes: document.json))
                )
            },
        ]
    }

    private var capabilities: CapabilitiesResponse {
        CapabilitiesResponse(
            version: information.version,
            platform: Platform.host.description,
            hypervisors: information.hypervisors.map { found in
                CapabilitiesResponse.Hypervisor(
                    name: found.name.rawValue,
                    version: found.version,
                    accelerator: found.accelerator.rawValue,
                    acceleratorReason: found.acceleratorReason,
                    pause: found.capabilities.pause,
                    snapshot: found.capabilities.snapshot,
                    hotplug: found.capabilities.hotplug,
                    resize: found.capabilities.resize
                )
            },
            network: information.providesNetwork,
            execProtocols: [ExecProtocol.name]
        )
    }
}
