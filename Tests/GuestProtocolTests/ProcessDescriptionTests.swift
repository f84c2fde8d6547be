import AgentTestSupport
import GuestProtocol
import Testing

@testable import GuestAgent

@Suite struct ProcessDescriptionTests {
    private let users = UserDatabase(
        passwd: """
            root:x:0:0:root:/root:/bin/sh
            broken
            app:x:1000:1001::/home/app:/bin/sh
            42:x:7:7::/seven:
            nouid:x:abc:1::/:
            """,
        group: "root:x:0:\nextra:x:2000:app,other\nwheel:x:10:root\nbad\nmore:x:3000:other,app\n"
    )

    private func identity(_ text: String) throws -> [UInt32] {
        let identity = try users.identity(of: text)
        return [identity.uid, identity.gid] + identity.groups
    }

    @Test func usersAreFoundByNameAndNumber() throws {
        #expect(try identity("") == [0, 0, 10])
        #expect(try identity("app") == [1000, 1001, 2000, 3000])
        #expect(try identity("1000") == [1000, 1001, 2000, 3000])
        #expect(try identity("app:extra") == [1000, 2000])
        #expect(try identity("app:77") == [1000, 77])
        #expect(try identity("5000") == [5000, 0])
        #expect(try identity("5000:5001") == [5000, 5001])
        #expect(try identity(":extra") == [0, 2000])
        #expect(try users.identity(of: "app").home == "/home/app")
    }

    @Test func aNameIsPreferredToANumber() throws {
        #expect(try identity("42") == [7, 7])
    }

    @Test func unknownUsersAndGroupsAreNamed() {
        #expect(throws: UserDatabase.LookupError(message: "no user nobody in the image's /etc/passwd")) {
            try identity("nobody")
        }
        #expect(throws: UserDatabase.LookupError(message: "no group nogroup in the image's /etc/group")) {
            try identity("app:nogroup")
        }
        #expect(throws: UserDatabase.LookupError.self) { try identity("-1") }
        #expect(throws: UserDatabase.LookupError.self) { try identity("4294967296") }
    }

    @Test func signalsHaveNamesAndNumbers() {
        #expect(SignalName.number(of: "SIGTERM") == 15)
        #expect(SignalName.number(of: "quit") == 3)
        #expect(SignalName.number(of: "9") == 9)
        #expect(SignalName.number(of: "SIGRTMIN+3") == 37)
        #expect(SignalName.number(of: "RTMAX-1") == 63)
        for text in ["", "0", "65", "SIGFOO", "RTMIN-1", "RTMAX+1", "TERM+1", "SIGRTMIN+"] {
            #expect(SignalName.number(of: text) == nil)
        }
    }

    private func plan(_ program: GuestProgram, terminal: Bool = false) throws -> LaunchPlan {
        try LaunchPlan(program, users: users, hostname: "h", terminal: terminal)
    }

    @Test func programIsLookedUpInItsOwnPath() throws {
        let plan = try plan(GuestProgram(arguments: ["x"], environment: ["PATH=/a::/b"]))
        #expect(plan.candidates == ["/a/x", "./x", "/b/x"])
        #expect(try self.plan(GuestProgram(arguments: ["./x"], environment: [])).candidates == ["./x"])
        let standard = try self.plan(GuestProgram(arguments: ["x"], environment: []))
        #expect(standard.candidates.first == "/usr/local/sbin/x" && standard.candidates.count == 6)
    }

    @Test func environmentHasEachNameOnceAndItsDefaults() throws {
        let plan = try plan(
            GuestProgram(arguments: ["x"], environment: ["A=1", "B=", "A=2", "junk", "=x", "HOME=/mine"], user: "app"),
            terminal: true
        )
        #expect(
            plan.environment == [
                "A=2", "B=", "HOME=/mine", "PATH=\(LaunchPlan.defaultPath)", "HOSTNAME=h", "TERM=xterm",
            ]
        )
        #expect(
            try self.plan(GuestProgram(arguments: ["x"], environment: [], user: "app")).environment.contains(
                "HOME=/home/app"
            )
        )
    }

    @Test func nothingToRunIs127AndAnUnknownUser126() {
        #expect(throws: LaunchFailure.self) { try plan(GuestProgram(arguments: [], environment: [])) }
        #expect(throws: LaunchFailure(code: 126, message: "no user who in the image's /etc/passwd")) {
            try plan(GuestProgram(arguments: ["x"], environment: [], user: "who"))
        }
    }

    @Test func interpretersAreReadFromAProgramsHead() {
        #expect(ProgramInterpreter.name(inHead: Array("#! /usr/bin/env python\n".utf8)) == "/usr/bin/env")
        #expect(ProgramInterpreter.name(inHead: Array("#!\n".utf8)) == nil)
        #expect(ProgramInterpreter.name(inHead: Array("hello".utf8)) == nil)
        #expect(ProgramInterpreter.name(ofProgramAt: "/bin/sh")?.contains("ld-linux") == true)
    }

    @Test func damagedExecutablesNeverTrap() throws {
        let head = try #require(SmallFile.read("/bin/sh", limit: 4096))
        var random = SeededGenerator(seed: 5)
        for _ in 0..<5000 {
            var damaged = head
            for _ in 0..<4 {
                damaged[Int.random(in: 5..<200, using: &random)] = .random(in: .min ... .max, using: &random)
            }
            _ = ProgramInterpreter.name(inHead: Array(damaged.prefix(Int.random(in: 0...4096, using: &random))))
        }
        #expect(ProgramInterpreter.name(inHead: head) != nil)
    }

    @Test func processStatusIsReadBehindAnyName() {
        #expect(ProcessStatus("12 (a) Z (b) S 1 12 7 0 -1")?.session == 7)
        #expect(ProcessStatus("12 (x) Z 1 12 7 0 -1")?.isDead == true)
        #expect(ProcessStatus("12 (x") == nil)
    }
}
