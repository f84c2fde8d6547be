/// Providers from one or more sets, checked as a whole before anything is made.
///
/// The manner is google/wire's: dependencies are the parameter types of the providers, and a missing, duplicate or
/// cyclic provider is reported with the whole chain of who needs it and where that was written.
public struct Graph: Sendable {
    private var nodes: [ProviderKey: [Provider]] = [:]
    private var duplicates: [GraphError.Problem] = []
    private var declared: [Provider] = []

    /// Collects providers; nothing is made yet.
    public init(@ProviderSetBuilder _ content: () -> [Provider]) {
        for provider in content() {
            insert(provider)
        }
    }

    private mutating func insert(_ provider: Provider) {
        declared.append(provider)
        guard let others = nodes[provider.key], let first = others.first else {
            nodes[provider.key] = [provider]
            return
        }
        if case (.element, .element) = (first.role, provider.role) {
            nodes[provider.key] = others + [provider]
        } else {
            duplicates.append(.duplicate(key: provider.key, first: Self.step(first), second: Self.step(provider)))
        }
    }

    /// Lists what is wrong with the graph as seen from `root`; empty if it can be built.
    ///
    /// - Parameters:
    ///   - root: The type that ``build(_:)`` is to make.
    ///   - reportingUnused: Whether a provider that `root` does not reach counts as a problem.
    /// - Returns: Duplicates first, then what the walk from `root` found, then the unused.
    public func problems<Root>(for root: Root.Type, reportingUnused: Bool = false) -> [GraphError.Problem] {
        let plan = plan(for: root)
        var problems = duplicates + plan.problems
        if reportingUnused {
            problems += declared.filter { !plan.seen.contains($0.key) }.map { .unused(Self.step($0)) }
        }
        return problems
    }

    /// The providers that `root` needs, dependencies before dependents, as ``build(_:)`` runs them.
    ///
    /// - Throws: ``GraphError`` if the graph cannot be built.
    public func providers<Root>(for root: Root.Type) throws(GraphError) -> [Provider] {
        let plan = plan(for: root)
        let problems = duplicates + plan.problems
        guard problems.isEmpty else { throw GraphError(problems: problems) }
        return plan.order.flatMap { nodes[$0] ?? [] }
    }

    /// Checks the graph, then makes `root` and what it needs, each value once.
    ///
    /// If a provider throws, what was made is cleaned up in reverse order and the error is rethrown.
    ///
    /// - Throws: ``GraphError`` if the graph is incomplete, or the error of a provider.
    public func build<Root: Sendable>(_ root: Root.Type) async throws -> Built<Root> {
        let providers = try providers(for: root)
        var values = BuiltValues()
        var cleanups: [Cleanup] = []
        var elements: [ProviderKey: [any Sendable]] = [:]
        do {
            for provider in providers {
                try Task.checkCancellation()
                let made = try await provider.make(values)
                if let cleanup = made.cleanup {
                    cleanups.append(Cleanup(key: provider.key, run: cleanup))
                }
                switch provider.role {
                case .single:
                    values.insert(made.value, for: provider.key)
                case .element(let join):
                    elements[provider.key, default: []].append(made.value)
                    values.insert(join(elements[provider.key] ?? []), for: provider.key)
                }
            }
        } catch {
            _ = await Built<Root>.run(cleanups)
            throw error
        }
        return Built(value: values.value(root), cleanups: cleanups)
    }

    /// Builds `root`, runs `body` with it, and tears everything down again, also when `body` throws.
    ///
    /// - Throws: The error of the build or of `body`; ``TearDownError`` if only the tear-down failed.
    public func with<Root: Sendable, Result: Sendable>(
        _ root: Root.Type,
        _ body: (Root) async throws -> Result
    ) async throws -> Result {
        let built = try await build(root)
        let result: Result
        do {
            result = try await body(built.value)
        } catch {
            // The first error is the one to report; those of the cleanups would hide it.
            _ = await Built<Root>.run(built.cleanups)
            throw error
        }
        try await built.tearDown()
        return result
    }

    private static func step(_ provider: Provider) -> GraphError.Step {
        GraphError.Step(key: provider.key, location: provider.location, sets: provider.origin)
    }

    private func plan<Root>(for root: Root.Type) -> Planner {
        var planner = Planner(graph: self)
        planner.visit(ProviderKey(root))
        return planner
    }

    /// Depth-first walk: dependencies before dependents.
    private struct Planner {
        let graph: Graph
        var order: [ProviderKey] = []
        var seen: Set<ProviderKey> = []
        var problems: [GraphError.Problem] = []
        private var trail: [GraphError.Step] = []

        init(graph: Graph) { self.graph = graph }

        mutating func visit(_ key: ProviderKey) {
            if let start = trail.firstIndex(where: { $0.key == key }) {
                problems.append(.cycle(path: Array(trail[start...])))
                return
            }
            guard seen.insert(key).inserted else { return }
            guard let providers = graph.nodes[key] else {
                problems.append(.missing(key: key, neededBy: trail.reversed()))
                return
            }
            for provider in providers {
                trail.append(Graph.step(provider))
                for dependency in provider.dependencies {
                    visit(dependency)
                }
                trail.removeLast()
            }
            order.append(key)
        }
    }
}
