extension Graph {
    /// The providers that `root` needs, one a line with what each is given, dependencies first.
    ///
    /// The order follows from the declarations alone, so the text can be kept in a file and compared.
    ///
    /// - Throws: ``GraphError`` if the graph cannot be built.
    public func text<Root>(for root: Root.Type) throws(GraphError) -> String {
        var lines: [String] = []
        for provider in try providers(for: root) {
            let sets = provider.origin.isEmpty ? "" : " [\(provider.origin.reversed().joined(separator: "/"))]"
            lines.append("\(provider.key)\(sets)")
            lines += provider.dependencies.map { "    <- \($0)" }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The same as a graph in the DOT language, an edge from each value to what it needs.
    ///
    /// - Throws: ``GraphError`` if the graph cannot be built.
    public func dot<Root>(for root: Root.Type) throws(GraphError) -> String {
        var lines = ["digraph wiring {", "    rankdir=LR;", "    node [shape=box];"]
        for provider in try providers(for: root) {
            lines.append("    \(Self.quoted(provider.key));")
            lines += provider.dependencies.map { "    \(Self.quoted(provider.key)) -> \(Self.quoted($0));" }
        }
        return (lines + ["}"]).joined(separator: "\n") + "\n"
    }

    private static func quoted(_ key: ProviderKey) -> String {
        let escaped = key.description.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined()
        return "\"\(escaped)\""
    }
}
