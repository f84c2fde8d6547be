import Testing

@testable import hypeman

/// How the two sides of a copy are written; what becomes of them is shown with a server, in `CopyCommandTests`.
@Suite struct CopyPathTests {
    @Test(arguments: [
        ("web:/srv/x", CopyPath.remote(instance: "web", path: "/srv/x")),
        ("web:srv", .remote(instance: "web", path: "/srv")),
        ("web:", .remote(instance: "web", path: "/")), ("web:/a:b", .remote(instance: "web", path: "/a:b")),
        ("./web:x", .local("./web:x")), ("/web:x", .local("/web:x")), ("a/b:c", .local("a/b:c")), ("x", .local("x")),
        ("..", .local("..")), ("-", .stream),
    ])
    func eitherSideIsHereOrThere(text: String, path: CopyPath) throws {
        #expect(try CopyPath(text) == path)
    }

    @Test(arguments: ["", ":/x"]) func aSideWithoutANameIsRefused(text: String) {
        #expect(throws: CommandError.self) { try CopyPath(text) }
    }

    @Test(
        arguments: [
            (".", true, nil, "."), ("/", true, nil, "/"), ("a/.", true, "a", "."), ("a/b/", false, "b", "a"),
            ("/a", false, "a", "/"), ("a/..", false, nil, "a"), ("/a/b/.", true, "b", "/a"),
        ] as [(String, Bool, String?, String)]
    )
    func pathsAreReadAsDockerDoes(path: String, meansContents: Bool, name: String?, parent: String) {
        let text = CopyPathText(path)
        #expect(text.meansContents == meansContents && text.name == name && text.parent == parent, "\(text)")
    }

    /// A guest says what a path without a name of its own is called.
    @Test(arguments: ["/..", "/", "/x/../..", "/."]) func aGuestsNameIsANameOrNone(real: String) throws {
        let source = CopyPlace(kind: .directory, path: "/a/..", realPath: real)
        let place = CopyPlace(kind: .directory, path: "here", realPath: "/tmp/here")
        #expect(try CopyDestination(source, to: place) == CopyDestination(directory: "here", name: nil))
    }
}
