public import GuestProtocol
public import NIOCore

extension ByteBuffer {
    /// A frame as it goes into a body.
    public init(frame kind: GuestFrame.Kind, payload: some Collection<UInt8>) {
        self = ByteBuffer()
        reserveCapacity(GuestFrame.headerSize + payload.count)
        writeBytes(GuestFrame.header(kind, count: payload.count))
        writeBytes(payload)
    }
}
