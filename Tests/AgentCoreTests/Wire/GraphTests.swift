import AgentCore
import Testing

private final class A: Sendable { init(b: B) {} }
private final class B: Sendable { init(c: C) {} }
private final class C: Sendable { init(a: A) {} }
private struct Leaf: Sendable { let number: Int }
private struct Mid: Sendable {
    let leaf: Leaf
    let text: String
}
private struct Top: Sendable { let mid: Mid }
private struct Failure: Error {}

private actor Journal {
    private(set) var lines: [String] = []
    func add(_ line: String) { lines.append(line) }
}

@Suite struct GraphTests {
    @Test func missingNamesEveryLink() throws {
        let graph = Graph {
            provide(Top.init)
            provide(Mid.init)
            value(1)
            provide(Leaf.init)
        }
        let problems = graph.problems(for: Top.self).map(\.description)
        #expect(problems.count == 1)
        let lines = try #require(problems.first).split(separator: "\n")
        #expect(lines.first == "no provider found for Swift.String")
        #expect(lines.count == 3)
        #expect(lines[1].contains("Mid (AgentCoreTests/GraphTests.swift:"))
        #expect(lines[2].contains("Top (AgentCoreTests/GraphTests.swift:"))
    }

    @Test func cycleNamesThePathAndTheSet() throws {
        let graph = Graph {
            provide(A.init)
            provide(B.init)
            ProviderSet("plugin") { provide(C.init) }
        }
        let problem = try #require(graph.problems(for: A.self).first?.description)
        #expect(problem.hasPrefix("cycle for "))
        #expect(problem.split(separator: "\n").count == 5)
        #expect(problem.contains("in set \"plugin\""))
    }

    @Test func duplicateNamesBoth() throws {
        let graph = Graph {
            ProviderSet("one") { provide(Leaf.init) }
            ProviderSet("two") { ProviderSet("inner") { value(Leaf(number: 1)) } }
            value(2)
        }
        let problems = graph.problems(for: Leaf.self).map(\.description)
        #expect(problems.count == 1)
        #expect(problems.first?.contains("in set \"one\"") == true)
        #expect(problems.first?.contains("in set \"inner\" in \"two\"") == true)
    }

    @Test func aSingleValueAndAnElementOfTheSameKeyAreDuplicates() {
        let graph = Graph {
            value([1])
            contribute(to: [Int].self) { 2 }
        }
        #expect(graph.problems(for: [Int].self).count == 1)
    }

    @Test func unusedIsReportedOnRequest() {
        let graph = Graph {
            value(2)
            value("nobody asks")
            provide(Leaf.init)
        }
        #expect(graph.problems(for: Leaf.self).isEmpty)
        #expect(graph.problems(for: Leaf.self, reportingUnused: true).count == 1)
    }

    @Test func nothingIsMadeByABrokenGraph() async throws {
        let journal = Journal()
        let graph = Graph {
            provide { () async -> Int in
                await journal.add("int")
                return 1
            }
            provide(Leaf.init)
            provide(Mid.init)
        }
        await #expect(throws: GraphError.self) { try await graph.build(Mid.self) }
        #expect(await journal.lines.isEmpty)
    }

    @Test func cleanupRunsInReverse() async throws {
        let journal = Journal()
        let graph = Graph {
            provide({ 1 }, cleanup: { (_: Int) in await journal.add("int") })
            provide({ "text" }, cleanup: { (_: String) in await journal.add("string") })
            provide(Leaf.init, cleanup: { _ in await journal.add("leaf") })
            provide(Mid.init, cleanup: { _ in await journal.add("mid") })
        }
        let built = try await graph.build(Mid.self)
        try await built.tearDown()
        #expect(await journal.lines == ["mid", "string", "leaf", "int"])
    }

    @Test func everyCleanupRunsAlthoughOneFails() async throws {
        let journal = Journal()
        let graph = Graph {
            provide({ 1 }, cleanup: { (_: Int) in await journal.add("int") })
            provide(Leaf.init, cleanup: { _ in throw Failure() })
        }
        let built = try await graph.build(Leaf.self)
        let error = await #expect(throws: TearDownError.self) { try await built.tearDown() }
        #expect(error?.failures.count == 1)
        #expect(await journal.lines == ["int"])
    }

    @Test func partialBuildIsCleanedUp() async throws {
        let journal = Journal()
        let graph = Graph {
            provide({ 1 }, cleanup: { (_: Int) in await journal.add("int") })
            provide(Leaf.init, cleanup: { _ in await journal.add("leaf") })
            provide { () throws -> String in throw Failure() }
            provide(Mid.init, cleanup: { _ in await journal.add("mid") })
        }
        await #expect(throws: Failure.self) { try await graph.build(Mid.self) }
        #expect(await journal.lines == ["leaf", "int"])
    }

    @Test func aValueIsMadeOnce() async throws {
        struct Left: Sendable { let leaf: Leaf }
        struct Right: Sendable { let leaf: Leaf }
        struct Both: Sendable {
            let left: Left
            let right: Right
        }
        let journal = Journal()
        let graph = Graph {
            provide { () async -> Leaf in
                await journal.add("made")
                return Leaf(number: 1)
            }
            provide(Left.init)
            provide(Right.init)
            provide(Both.init)
        }
        _ = try await graph.build(Both.self)
        #expect(await journal.lines == ["made"])
    }

    @Test func elementsOfSeveralSetsKeepTheirOrder() async throws {
        struct All: Sendable { let numbers: [Int] }
        let graph = Graph {
            ProviderSet("one") { contribute(to: [Int].self) { 1 } }
            ProviderSet("two") {
                contribute(to: [Int].self) { 2 }
                contribute(to: [Int].self) { 3 }
            }
            provide(All.init)
        }
        #expect(try await graph.build(All.self).value.numbers == [1, 2, 3])
    }

    @Test func withTearsDownAlsoAfterAnError() async throws {
        let journal = Journal()
        let graph = Graph { provide({ 1 }, cleanup: { (_: Int) in await journal.add("int") }) }
        await #expect(throws: Failure.self) {
            try await graph.with(Int.self) { _ in throw Failure() }
        }
        #expect(await journal.lines == ["int"])
    }

    @Test func drawingsNameValuesAndEdges() throws {
        let graph = Graph {
            ProviderSet("numbers") { value(1) }
            provide(Leaf.init)
        }
        let text = try graph.text(for: Leaf.self)
        #expect(text.hasPrefix("Swift.Int [numbers]\n"))
        #expect(text.hasSuffix("    <- Swift.Int\n"))
        #expect(try graph.dot(for: Leaf.self).contains("-> \"Swift.Int\";"))
        #expect(throws: GraphError.self) { try graph.dot(for: Mid.self) }
    }
}
