import AgentCore
import Testing

@Suite struct ImageReferenceTests {
    private static let digest = "sha256:" + String(repeating: "a", count: 64)

    @Test(arguments: [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3.20", "docker.io/library/alpine:3.20"),
        ("user/app", "docker.io/user/app:latest"),
        ("index.docker.io/alpine", "docker.io/library/alpine:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest"),
        ("registry.example/app@\(digest)", "registry.example/app@\(digest)"),
        ("registry.example/app:v1@\(digest)", "registry.example/app:v1@\(digest)"),
        ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest"),
    ])
    func normalises(_ text: String, _ whole: String) throws {
        let reference = try ImageReference(text)
        #expect(reference.description == whole)
        #expect(try ImageReference(whole) == reference, "the whole name stands for itself")
    }

    @Test(arguments: [
        "", " ", "Alpine", "alpine:", "alpine:-x", "alpine@sha256:123", "alpine@md5:abc", "a//b", "/a", "a/", "../etc",
        "a/../b",
        "example.com:99999/a", "example.com:/a", "-host.example/a", "a___b", "a..b", "a:b:c", "a\0b", "näme",
        String(repeating: "a", count: 300), String(repeating: "a", count: 600),
    ])
    func refuses(_ text: String) {
        let error = #expect(throws: AgentError.self) { try ImageReference(text) }
        #expect(error?.code == "invalid_name")
    }
}
