public import AgentCore

/// What every network backend must do.
public enum NetworkConformance {
    public static let claims: [ConformanceClaim<any NetworkBackend>] = [
        ConformanceClaim("the host can be prepared twice") { backend in
            for _ in 0..<2 { try await backend.prepareHost() }
        },
        ConformanceClaim("an instance is attached if and only if the backend provides a network") { backend in
            try await backend.prepareHost()
            let instance = InstanceID.random()
            let attachment = try await backend.attach(instance, previous: nil)
            try require(
                (attachment != nil) == backend.providesNetwork,
                "the attachment is \(String(describing: attachment))"
            )
            guard let attachment else { return }
            try require(attachment.tap != nil, "it has no device")
            try await backend.detach(instance, attachment)
        },
        ConformanceClaim("attaching again gives the same, two instances get different addresses") { backend in
            try await backend.prepareHost()
            let (one, two) = (InstanceID.random(), InstanceID.random())
            guard let first = try await backend.attach(one, previous: nil) else { return }
            let again = try await backend.attach(one, previous: nil)
            try require(again == first, "attached again it is \(String(describing: again))")
            let other = try require(try await backend.attach(two, previous: nil), "the second is not attached")
            try require(other.address != first.address && other.mac != first.mac && other.tap != first.tap, "\(other)")
            try await backend.detach(one, first)
            try await backend.detach(two, other)
        },
        ConformanceClaim("address and MAC outlive a detach, which may be repeated") { backend in
            try await backend.prepareHost()
            let instance = InstanceID.random()
            guard let first = try await backend.attach(instance, previous: nil) else { return }
            for _ in 0..<2 { try await backend.detach(instance, first) }
            let again = try require(try await backend.attach(instance, previous: first), "it is not attached again")
            try require(again.address == first.address && again.mac == first.mac, "it has become \(again)")
            try await backend.detach(instance, again)
        },
    ]
}
