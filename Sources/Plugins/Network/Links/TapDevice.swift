import CNetwork
import Glibc
import SystemPackage

/// A TAP that this process has open (the kernel's Documentation/networking/tuntap.rst).
///
/// One that is new vanishes with the last descriptor, whatever happens to the process, until it is made persistent.
struct TapDevice: ~Copyable {
    let descriptor: Int32
    private let name: String

    /// Makes a TAP, or attaches to one that no other process has open.
    ///
    /// Its frames carry a virtio-net header, as VMMs want it.
    ///
    /// - Parameters:
    ///   - name: Of the device.
    ///   - isNew: Whether it is an error that there is one of that name.
    /// - Throws: ``NetlinkError``.
    init(_ name: String, isNew: Bool) throws {
        var descriptor: Int32 = -1
        let failure = cnetwork_tap_open(name, isNew ? 1 : 0, &descriptor)
        guard failure == 0 else {
            throw NetlinkError(
                Errno(rawValue: failure),
                purpose: "open the TAP '\(name)' (/dev/net/tun)",
                detail: failure == ENOENT || failure == ENODEV ? "is the kernel module tun loaded?" : nil
            )
        }
        self.descriptor = descriptor
        self.name = name
    }

    deinit {
        // Frames that nobody read are lost with it, as they are to be.
        _ = Glibc.close(descriptor)
    }

    /// Who may open it without CAP_NET_ADMIN.
    func setOwner(_ owner: uid_t?, group: gid_t?) throws {
        try check(cnetwork_tap_set_owner(descriptor, owner ?? uid_t.max, group ?? gid_t.max), "give away")
    }

    /// Closes it, and keeps the device.
    consuming func persist() throws {
        try check(cnetwork_tap_set_persistent(descriptor, 1), "keep")
    }

    private func check(_ failure: Int32, _ purpose: String) throws {
        guard failure == 0 else {
            throw NetlinkError(Errno(rawValue: failure), purpose: "\(purpose) the TAP '\(name)'")
        }
    }
}
