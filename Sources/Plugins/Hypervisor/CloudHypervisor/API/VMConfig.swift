/// What vm.create takes (`VmConfig` of the specification), as far as it is used.
struct VMConfig: Encodable, Sendable {
    struct CPUs: Encodable, Sendable {
        var boot: Int
        var maximum: Int

        enum CodingKeys: String, CodingKey {
            case boot = "boot_vcpus"
            case maximum = "max_vcpus"
        }
    }

    struct Memory: Encodable, Sendable {
        var size: Int
        var shared = false
        var hotplugMethod: String?
        var hotplugSize: Int?

        enum CodingKeys: String, CodingKey {
            case size, shared
            case hotplugMethod = "hotplug_method"
            case hotplugSize = "hotplug_size"
        }
    }

    struct Payload: Encodable, Sendable {
        var kernel: String
        var initramfs: String
        var cmdline: String
    }

    struct TokenBucket: Encodable, Sendable {
        var size: Int
        /// In milliseconds.
        var refillTime: Int

        enum CodingKeys: String, CodingKey {
            case size
            case refillTime = "refill_time"
        }
    }

    struct RateLimiter: Encodable, Sendable {
        var bandwidth: TokenBucket
    }

    struct Disk: Encodable, Sendable {
        var id: String
        var path: String
        var serial: String
        var readOnly: Bool
        var direct = false
        var imageType = "Raw"
        var sparse: Bool
        var rateLimiter: RateLimiter?
        /// Instead of a limiter of its own.
        var rateGroup: String?

        enum CodingKeys: String, CodingKey {
            case id, path, serial, direct, sparse
            case readOnly = "readonly"
            case imageType = "image_type"
            case rateLimiter = "rate_limiter_config"
            case rateGroup = "rate_limit_group"
        }
    }

    /// A limit that disks share.
    struct RateLimitGroup: Encodable, Sendable {
        var id: String
        var rateLimiter: RateLimiter

        enum CodingKeys: String, CodingKey {
            case id
            case rateLimiter = "rate_limiter_config"
        }
    }

    /// Without an MTU: to set one takes a right that the VMM does not have, and the guest is told that of the TAP.
    struct Net: Encodable, Sendable {
        var id: String
        var tap: String
        var mac: String
    }

    struct RandomNumbers: Encodable, Sendable {
        var src = "/dev/urandom"
    }

    struct Balloon: Encodable, Sendable {
        var size = 0
        var deflateOnOOM = true
        var freePageReporting = true

        enum CodingKeys: String, CodingKey {
            case size
            case deflateOnOOM = "deflate_on_oom"
            case freePageReporting = "free_page_reporting"
        }
    }

    struct Console: Encodable, Sendable {
        var mode: String
        var socket: String?
    }

    struct Vsock: Encodable, Sendable {
        var id: String
        var cid: Int
        var socket: String
    }

    struct LandlockRule: Encodable, Sendable, Equatable {
        var path: String
        /// `r`, `w` or both.
        var access: String
    }

    var cpus: CPUs
    var memory: Memory
    var payload: Payload
    var rateLimitGroups: [RateLimitGroup]?
    var disks: [Disk]
    var net: [Net]?
    var rng = RandomNumbers()
    var balloon = Balloon()
    var serial: Console
    var console: Console
    var vsock: Vsock
    var pvpanic = true
    var landlockEnable: Bool?
    var landlockRules: [LandlockRule]?

    enum CodingKeys: String, CodingKey {
        case cpus, memory, payload, disks, net, rng, balloon, serial, console, vsock, pvpanic
        case rateLimitGroups = "rate_limit_groups"
        case landlockEnable = "landlock_enable"
        case landlockRules = "landlock_rules"
    }
}

/// What vm.resize takes.
struct VMResize: Encodable, Sendable {
    var vcpus: Int?
    var memory: Int?

    enum CodingKeys: String, CodingKey {
        case vcpus = "desired_vcpus"
        case memory = "desired_ram"
    }
}

/// What vm.remove-device takes.
struct VMRemoveDevice: Encodable, Sendable {
    var id: String
}

/// What vm.snapshot takes.
struct VMSnapshotConfig: Encodable, Sendable {
    var destination: String

    enum CodingKeys: String, CodingKey { case destination = "destination_url" }
}

/// What vm.restore takes.
struct VMRestoreConfig: Encodable, Sendable {
    enum MemoryMode: String, Encodable, Sendable {
        /// All of it is read before the answer.
        case copy = "Copy"
        /// It is read when the guest touches it.
        case onDemand = "OnDemand"
    }

    var source: String
    /// nil for a version that knows one mode only.
    var memoryMode: MemoryMode?

    enum CodingKeys: String, CodingKey {
        case source = "source_url"
        case memoryMode = "memory_restore_mode"
    }
}

/// The answer to vm.info, as far as it is used.
struct VMInfo: Decodable, Sendable {
    struct Config: Decodable, Sendable {
        struct CPUs: Decodable, Sendable {
            var boot: Int
            var maximum: Int

            enum CodingKeys: String, CodingKey {
                case boot = "boot_vcpus"
                case maximum = "max_vcpus"
            }
        }

        struct Memory: Decodable, Sendable {
            var size: Int
            var hotplugSize: Int?

            enum CodingKeys: String, CodingKey {
                case size
                case hotplugSize = "hotplug_size"
            }
        }

        struct Device: Decodable, Sendable {
            var id: String?
            var serial: String?
        }

        var cpus: CPUs
        var memory: Memory
        var disks: [Device]?
        var net: [Device]?
    }

    struct Node: Decodable, Sendable {}

    /// `Created`, `Running`, `Shutdown` or `Paused`.
    var state: String
    var config: Config
    /// What is on the bus now, by id; what was removed stays until the guest has let go of it.
    var deviceTree: [String: Node]?

    enum CodingKeys: String, CodingKey {
        case state, config
        case deviceTree = "device_tree"
    }

    /// The ids of everything that there is, also of what is on its way out.
    var devices: Set<String> {
        let configured = ((config.disks ?? []) + (config.net ?? [])).compactMap(\.id)
        return Set(configured).union((deviceTree ?? [:]).keys)
    }
}

/// The answer to vmm.ping, as far as it is used.
struct VMMPing: Decodable, Sendable {
    var version: String
}
