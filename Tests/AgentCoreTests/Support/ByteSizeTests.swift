import AgentCore
import Testing

@Suite struct ByteSizeTests {
    @Test(arguments: [
        ("0", 0), ("512", 512), ("1B", 1), ("1KB", 1024), ("1k", 1024), ("1KiB", 1024), ("512MB", 512 << 20),
        ("10GB", 10 << 30),
        ("10gb", 10 << 30), ("2T", 2 << 40), ("1P", 1 << 50), ("3 GB", 3 << 30),
    ])
    func reads(_ text: String, _ bytes: Int) { #expect(ByteSize(text)?.bytes == bytes) }

    @Test(arguments: [
        "", "GB", "1.5GB", "-1GB", "+1", "1Mb", "1Gb", "1XB", "10 000", "0x10", "9999999999999PB", "1GBB", "1bb", "1ib",
        "٣GB",
    ])
    func refuses(_ text: String) { #expect(ByteSize(text) == nil) }

    @Test func showsSizesAsExistingClientsReadThem() {
        #expect(ByteSize.gibibytes(1).description == "1024.0 MB")
        #expect(ByteSize.gibibytes(10).description == "10.0 GB")
        #expect(ByteSize(bytes: 1536 << 20).description == "1.5 GB")
        #expect(ByteSize(bytes: 100).description == "100 B")
    }

    @Test(arguments: [0, 1, 1000, 1024, 3 << 20, 10 << 30, (1 << 30) + 1])
    func theExactFormReadsBack(_ bytes: Int) {
        #expect(ByteSize(ByteSize(bytes: bytes).exact)?.bytes == bytes)
    }
}
