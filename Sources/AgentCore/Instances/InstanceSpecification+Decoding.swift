/// What the compiler calls in the decoding that it writes itself: a specification that an earlier release stored has
/// nothing of what was added since, and is read as one that does not use it.
extension KeyedDecodingContainer {
    func decode(_ type: BandwidthLimits.Type, forKey key: Key) throws -> BandwidthLimits {
        try decodeIfPresent(type, forKey: key) ?? BandwidthLimits()
    }

    func decode(_ type: [VolumeMount].Type, forKey key: Key) throws -> [VolumeMount] {
        try decodeIfPresent(type, forKey: key) ?? []
    }

    func decode(_ type: [PublishedPort].Type, forKey key: Key) throws -> [PublishedPort] {
        try decodeIfPresent(type, forKey: key) ?? []
    }
}
