import AgentTestSupport
import SystemPackage

/// Images of real Debian packages in several layers, as umoci makes them of the changes of a tree.
enum DebianImages {
    /// A layout with two images: `web` is a base system with busybox, and nginx with Python over it; `database` has
    /// PostgreSQL over that, and a last layer that takes nginx and the package lists away.
    static func make(in scratch: Scratch) async throws -> FilePath {
        let layout = scratch.appending("debian")
        let bundle = scratch.appending("debian-bundle")
        let root = bundle.appending("rootfs")
        try await tool("umoci", ["init", "--layout", layout.string])
        try await tool("umoci", ["new", "--image", "\(layout):base"])
        try await tool("umoci", ["unpack", "--image", "\(layout):base", bundle.string])
        try await tool(
            "mmdebstrap",
            ["--quiet", "--variant=apt", "--include=busybox-static", "--skip=cleanup/apt/lists"]
                + TestImages.withoutDocuments + ["bookworm", root.string] + (try TestImages.packageSources())
        )
        func keep(_ name: String) async throws {
            try await tool("umoci", ["repack", "--refresh-bundle", "--image", "\(layout):\(name)", bundle.string])
        }
        func inside(_ command: [String]) async throws {
            let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"]
            try await tool("chroot", [root.string, "env", "-i"] + environment + command)
        }
        func inside(_ command: String...) async throws { try await inside(command) }
        func install(_ packages: String...) async throws {
            let options = ["-y", "-qq", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"]
            try await inside(["apt-get", "install"] + options + packages)
            try await inside("apt-get", "clean")
        }

        try await keep("base")

        try await install("nginx-light", "python3-minimal")
        // Devices, a capability and names that no package has.
        try await inside("mknod", "/dev/odd", "b", "7", "300")
        try await inside("chmod", "0640", "/dev/odd")
        try await inside("mkfifo", "/var/pipe")
        try await inside("chmod", "0600", "/var/pipe")
        try await inside("cp", "/bin/busybox", "/bin/capable")
        try await inside("ln", "/bin/capable", "/usr/bin/second-name")
        try await tool("setcap", ["cap_net_raw=ep", root.pushing("usr/bin/capable").string])
        try await keep("web")

        try await install("postgresql-15")
        try await keep("with-lists")
        try await inside("apt-get", "purge", "-y", "-qq", "nginx-light", "nginx-common")
        try await inside("rm", "-r", "/var/lib/apt/lists")
        try await inside("mkdir", "-p", "/var/lib/apt/lists/partial")
        try await inside("touch", "/var/lib/apt/lists/again")
        try await keep("database")
        return layout
    }
}
