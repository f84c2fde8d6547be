/// Finds places for inodes in the metadata area: inode, attributes and tail are in one block wherever they fit into
/// one, since the kernel reads a tail from the block of its inode only.
struct InodePlacement {
    private static let slotsPerBlock = ErofsFormat.blockSize / ErofsFormat.slotSize

    /// Blocks with room left, as the number of their first free slot, by how many slots are free.
    private var open: [[UInt64]] = Array(repeating: [], count: InodePlacement.slotsPerBlock + 1)
    /// How many blocks the area has.
    private(set) var blocks = 0

    init() {
        // Nobody gets slot 0: readdir(3) leaves out files whose inode number is 0.
        blocks = 1
        open[Self.slotsPerBlock - 1].append(1)
    }

    /// A place for `size` bytes, as the number of its first slot.
    mutating func place(_ size: Int) -> UInt64 {
        let slots = (size + ErofsFormat.slotSize - 1) / ErofsFormat.slotSize
        if slots <= Self.slotsPerBlock {
            for room in slots...Self.slotsPerBlock {
                guard let first = open[room].popLast() else { continue }
                keep(first + UInt64(slots), room: room - slots)
                return first
            }
        }
        let first = UInt64(blocks * Self.slotsPerBlock)
        let taken = (slots + Self.slotsPerBlock - 1) / Self.slotsPerBlock
        blocks += taken
        keep(first + UInt64(slots), room: taken * Self.slotsPerBlock - slots)
        return first
    }

    private mutating func keep(_ first: UInt64, room: Int) {
        if room > 0 { open[room].append(first) }
    }
}
