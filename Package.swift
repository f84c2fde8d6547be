// swift-tools-version: 6.2
import PackageDescription

// The Makefile sets HYPEMAN_WERROR, so that every build it makes fails on a warning, while a package that depends
// on AgentCore, or an editor with a newer compiler, is not broken by one.
let strict: [SwiftSetting] = Context.environment["HYPEMAN_WERROR"] == nil ? [] : [.treatAllWarnings(as: .error)]

let settings: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
    ] + strict

let package = Package(
    name: "hypeman-agent",
    products: [
        .library(name: "AgentCore", targets: ["AgentCore"]),
        .executable(name: "hypeman-agent", targets: ["hypeman-agent"]),
        .executable(name: "hypeman", targets: ["hypeman"]),
        .executable(name: "hypeman-exec", targets: ["hypeman-exec"]),
        .executable(name: "hypeman-init", targets: ["hypeman-init"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.0"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.0"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.0"),
    ],
    targets: [
        // What the agent is: values, ports, state machines, services. No plugin, HTTP, D-Bus or SQLite below this line.
        .target(
            name: "AgentCore",
            dependencies: [
                "GuestProtocol",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "AgentStore",
            dependencies: ["AgentCore", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: settings
        ),

        // What host and guest say to each other, as values; and how it is carried, with SwiftNIO. Neither imports
        // Foundation, which would double the size of hypeman-init.
        .target(name: "GuestProtocol", swiftSettings: settings),
        .target(
            name: "GuestTransport",
            dependencies: [
                "GuestProtocol",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
            ],
            swiftSettings: settings
        ),
        .target(name: "CInit"),
        .target(
            name: "GuestAgent",
            dependencies: [
                "CInit", "CLinux", "GuestProtocol", "GuestTransport", "Tar", "TarTree", "Threads",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "hypeman-init",
            dependencies: [
                "CInit", "GuestAgent", "GuestProtocol", "GuestTransport", "Threads",
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),

        // The plugins.
        .target(name: "CNetwork"),
        .target(
            name: "NetworkPlugin",
            dependencies: [
                "AgentCore", "CNetwork",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Sources/Plugins/Network",
            swiftSettings: settings
        ),
        .systemLibrary(name: "CIsal", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
        .systemLibrary(name: "CLz4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        // ext4 without a mount, by libext2fs.
        .target(
            name: "CExt4",
            linkerSettings: [.linkedLibrary("ext2fs"), .linkedLibrary("com_err")]
        ),
        .target(
            name: "StoragePlugin",
            dependencies: [
                "AgentCore", "CExt4", "CIsal", "CLinux", "CLz4", "CZstd", "GuestProtocol", "Tar",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOFoundationCompat", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Sources/Plugins/Storage",
            swiftSettings: settings
        ),
        // Linux system calls that Swift does not see by itself.
        .target(name: "CLinux"),
        // Tar archives, read and written as bytes; and what of them is in a file system, from both sides. hypeman-init has
        // both, so there is no Foundation here either.
        .target(name: "Tar", swiftSettings: settings),
        .target(name: "Threads", swiftSettings: settings),
        .target(name: "TarTree", dependencies: ["CLinux", "Tar", "Threads"], swiftSettings: settings),
        .target(
            name: "HypervisorPlugin",
            dependencies: [
                "AgentCore", "CLinux", "DBus", "GuestProtocol", "GuestTransport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOFoundationCompat", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Sources/Plugins/Hypervisor",
            swiftSettings: settings
        ),

        // The HTTP API: its values, shared with the command line, and its server.
        .target(name: "AgentAPI", swiftSettings: settings),
        .target(
            name: "AgentHTTP",
            dependencies: [
                "AgentAPI", "AgentCore", "GuestProtocol", "Tar", "TarTree", "Uploads",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "JWTKit", package: "jwt-kit"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOExtras", package: "swift-nio-extras"),
                .product(name: "NIOFoundationCompat", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: settings
        ),

        // What HTTP and D-Bus receive archives into.
        .target(
            name: "Uploads",
            dependencies: [
                "AgentCore",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),

        // D-Bus: libdbus as an actor, and the agent's objects on it.
        .systemLibrary(name: "CDBus", pkgConfig: "dbus-1", providers: [.apt(["libdbus-1-dev"])]),
        .target(
            name: "DBus",
            dependencies: ["CDBus", "Threads", .product(name: "Logging", package: "swift-log")],
            swiftSettings: settings
        ),
        .target(
            name: "AgentDBus",
            dependencies: [
                "AgentCore", "DBus", "GuestProtocol", "Uploads",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),

        // The programs.
        .executableTarget(
            name: "hypeman-agent",
            dependencies: [
                "AgentCore", "AgentDBus", "AgentHTTP", "AgentStore", "CLinux", "HypervisorPlugin", "NetworkPlugin",
                "StoragePlugin",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "JWTKit", package: "jwt-kit"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        // What units of VMs run: becomes the program that the agent has described in a file.
        .executableTarget(name: "hypeman-exec"),
        .executableTarget(
            name: "hypeman",
            dependencies: [
                "AgentAPI", "Tar", "TarTree",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOFoundationCompat", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: settings
        ),

        // Doubles of every port, the conformance suites that the doubles and the real backends pass, and fixtures.
        .target(
            name: "AgentTestSupport",
            dependencies: [
                "AgentCore", "CXattr", "GuestProtocol", "Tar",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "AgentCoreTests",
            dependencies: [
                "AgentCore", "AgentTestSupport", "GuestProtocol", "Tar",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "AgentStoreTests",
            dependencies: [
                "AgentStore", "AgentCore", "AgentTestSupport", .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "TarTreeTests",
            dependencies: [
                "AgentTestSupport", "CXattr", "Tar", "TarTree",
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "GuestProtocolTests",
            dependencies: [
                "AgentCore", "AgentTestSupport", "CInit", "GuestAgent", "GuestProtocol", "GuestTransport",
                "HypervisorPlugin", "Tar",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        // The bridge network without an agent: for benchmarks, and for tests that kill it.
        .executableTarget(
            name: "network-driver",
            dependencies: [
                "AgentCore", "HypervisorPlugin", "NetworkPlugin",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Tests/network-driver",
            swiftSettings: settings
        ),
        // The writer of root disks without an agent, for benchmarks.
        .executableTarget(
            name: "storage-driver",
            dependencies: ["AgentCore", "StoragePlugin", .product(name: "SystemPackage", package: "swift-system")],
            path: "Tests/storage-driver",
            swiftSettings: settings
        ),
        // xattr(7), which Swift's Glibc module leaves out; for tests alone.
        .systemLibrary(name: "CXattr", path: "Tests/CXattr"),
        .testTarget(
            name: "StoragePluginTests",
            dependencies: [
                "StoragePlugin", "AgentCore", "AgentTestSupport", "GuestProtocol", "Tar",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "NetworkPluginTests",
            dependencies: [
                "AgentCore", "AgentTestSupport", "CNetwork", "HypervisorPlugin", "NetworkPlugin",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        // Plays Cloud Hypervisor, which needs a KVM, and holds the agent's requests to its authors' specification.
        .target(
            name: "CloudHypervisorStub",
            dependencies: [.product(name: "Yams", package: "Yams")],
            path: "Tests/CloudHypervisorStub",
            exclude: ["Specification"],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "cloud-hypervisor-stub",
            dependencies: [
                "CloudHypervisorStub",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Tests/cloud-hypervisor-stub",
            swiftSettings: settings
        ),
        .testTarget(
            name: "DBusTests",
            dependencies: [
                "DBus", "AgentTestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "HypervisorPluginTests",
            dependencies: [
                "HypervisorPlugin", "NetworkPlugin", "AgentCore", "AgentTestSupport", "CloudHypervisorStub", "DBus",
                "GuestProtocol", "cloud-hypervisor-stub",
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "AgentHTTPTests",
            dependencies: [
                "AgentHTTP", "AgentAPI", "AgentCore", "AgentTestSupport", "GuestProtocol", "StoragePlugin", "Tar",
                "TarTree", "Uploads",
                "hypeman",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "JWTKit", package: "jwt-kit"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOFoundationCompat", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "AgentDBusTests",
            dependencies: [
                "AgentDBus", "AgentCore", "AgentTestSupport", "DBus", "GuestProtocol", "Tar",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "AgentTests",
            dependencies: [
                "hypeman-agent", "AgentCore", "AgentTestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "CommandLineTests",
            dependencies: [
                "hypeman", "AgentAPI", "Tar",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "AgentAPI",
                "AgentTestSupport",
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
    ],
    swiftLanguageModes: [.v6]
)
