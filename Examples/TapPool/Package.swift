// swift-tools-version: 6.2
import PackageDescription

// A network backend from outside hypeman-agent's tree: it needs the library product AgentCore and nothing else.
let package = Package(
    name: "tap-pool",
    products: [.library(name: "TapPool", targets: ["TapPool"])],
    dependencies: [.package(name: "hypeman-agent", path: "../..")],
    targets: [
        .target(name: "TapPool", dependencies: [.product(name: "AgentCore", package: "hypeman-agent")]),
        .executableTarget(
            name: "tap-pool-demo",
            dependencies: ["TapPool", .product(name: "AgentCore", package: "hypeman-agent")]
        ),
    ],
    swiftLanguageModes: [.v6]
)
