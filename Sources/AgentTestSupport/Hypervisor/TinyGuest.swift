/// An initrd of one program of a hundred bytes, for tests of a hypervisor that need a guest and no hypeman-init.
///
/// x86-64 machine code and the files around it (ELF, cpio) are written here, so no compiler is needed.
public enum TinyGuest: Sendable, CaseIterable {
    /// Says hello on the console and waits for ever.
    case waits
    /// Says hello and powers the machine off.
    case powersOff
    /// Says hello and resets the machine.
    case resets
    /// Says hello and ends, at which the kernel panics.
    case panics
    /// Says hello without end.
    case floods

    /// What it says.
    public static let greeting = "hello from the tiny guest\n"

    /// The initrd's bytes.
    public var initrd: [UInt8] {
        var archive = Archive()
        archive.add("dev", mode: 0o040755)
        // The kernel opens it as stdin, stdout and stderr of /init.
        archive.add("dev/console", mode: 0o020600, device: (5, 1))
        archive.add("init", mode: 0o100755, contents: program)
        archive.add("TRAILER!!!", mode: 0)
        return archive.bytes
    }

    /// An ELF executable of one segment (System V ABI, gABI chapter 4 and 5).
    private var program: [UInt8] {
        let base: UInt64 = 0x400000
        let code = self.code
        let size = UInt64(120 + code.count)
        var elf: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
        elf += little(UInt16(2)) + little(UInt16(62)) + little(UInt32(1))
        elf += little(base + 120) + little(UInt64(64)) + little(UInt64(0)) + little(UInt32(0))
        elf += [64, 56, 1, 0, 0, 0].flatMap { little(UInt16($0)) }
        elf += little(UInt32(1)) + little(UInt32(5)) + little(UInt64(0)) + little(base) + little(base)
        elf += little(size) + little(size) + little(UInt64(4096))
        return elf + code
    }

    private var code: [UInt8] {
        let text = Array(Self.greeting.utf8)
        // mov eax, 1 (write); mov edi, 1; lea rsi, [rip + ...]; mov edx, length; syscall
        let head: [UInt8] = [0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0]
        let afterLea: [UInt8] = [0xba] + little(UInt32(text.count)) + [0x0f, 0x05]
        let tail = rest(headLength: head.count + 7 + afterLea.count)
        let lea: [UInt8] = [0x48, 0x8d, 0x35] + little(UInt32(afterLea.count + tail.count))
        return head + lea + afterLea + tail + text
    }

    /// What it does after the greeting.
    private func rest(headLength: Int) -> [UInt8] {
        // mov eax, 34 (pause); syscall; jmp back
        let wait: [UInt8] = [0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7]
        switch self {
        case .waits: return wait
        case .powersOff: return reboot(0x4321_fedc) + wait
        case .resets: return reboot(0x0123_4567) + wait
        // mov eax, 60 (exit); syscall
        case .panics: return [0xb8, 60, 0, 0, 0, 0x0f, 0x05]
        case .floods: return [0xeb, UInt8(truncatingIfNeeded: -(headLength + 2))]
        }
    }

    /// reboot(2) with its two magic numbers.
    private func reboot(_ command: UInt32) -> [UInt8] {
        [0xb8, 169, 0, 0, 0, 0xbf] + little(UInt32(0xfee1_dead)) + [0xbe] + little(UInt32(672_274_793)) + [0xba]
            + little(command) + [0x0f, 0x05]
    }
}

/// A cpio archive in the form that the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst).
private struct Archive {
    private(set) var bytes: [UInt8] = []
    private var nextInode = 1

    mutating func add(_ name: String, mode: Int, device: (Int, Int) = (0, 0), contents: [UInt8] = []) {
        let fields = [
            nextInode, mode, 0, 0, 1, 0, contents.count, 0, 0, device.0, device.1, name.utf8.count + 1, 0,
        ]
        nextInode += 1
        bytes += Array("070701".utf8)
        for field in fields {
            let digits = String(field, radix: 16)
            bytes += Array((String(repeating: "0", count: 8 - digits.count) + digits).utf8)
        }
        bytes += Array(name.utf8) + [0]
        pad()
        bytes += contents
        pad()
    }

    private mutating func pad() {
        bytes += [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
    }
}

private func little(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}
