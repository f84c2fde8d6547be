/// Where hypeman-init listens in guests whose channel is a vsock (vsock(7)).
public enum GuestVsock {
    /// Below 1024, so that nobody but the guest's root can listen there in its place.
    public static let port: UInt32 = 721
    /// Whose connections it takes: the host's, which no program in the guest can pretend to be.
    public static let hostContextID: UInt32 = 2
}
