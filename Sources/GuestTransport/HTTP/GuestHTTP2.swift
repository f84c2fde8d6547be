import NIOHPACK
public import NIOHTTP2

/// How HTTP/2 is set up on the channel, the same at both ends.
public enum GuestHTTP2 {
    /// Bytes that one stream may have on its way, in each direction: what a receiver that has stopped reading must hold.
    public static let streamWindow = 256 << 10
    /// Bytes that all streams of a connection may have on their way, in each direction.
    public static let connectionWindow = 4 << 20
    /// Streams at a time, of which each running command takes one.
    public static let maximumStreams = 256

    /// Settings of the connection.
    public static var connection: NIOHTTP2Handler.ConnectionConfiguration {
        var configuration = NIOHTTP2Handler.ConnectionConfiguration()
        configuration.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: maximumStreams),
            HTTP2Setting(parameter: .maxHeaderListSize, value: HPACKDecoder.defaultMaxHeaderListSize),
            HTTP2Setting(parameter: .initialWindowSize, value: streamWindow),
        ]
        configuration.targetWindowSize = connectionWindow
        return configuration
    }

    /// Settings of each stream.
    public static var stream: NIOHTTP2Handler.StreamConfiguration {
        var configuration = NIOHTTP2Handler.StreamConfiguration()
        configuration.targetWindowSize = streamWindow
        configuration.outboundBufferSizeHighWatermark = 128 << 10
        configuration.outboundBufferSizeLowWatermark = 64 << 10
        return configuration
    }
}
