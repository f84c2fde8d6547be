public import SystemPackage

/// Where the agent listens and whom it lets in.
public struct HTTPConfiguration: Sendable {
    /// The certificate and key that TCP is served with.
    public struct TLS: Sendable {
        /// A PEM file with the certificate and those between it and the root.
        public var certificate: FilePath
        /// A PEM file with its private key.
        public var key: FilePath

        public init(certificate: FilePath, key: FilePath) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// The unix socket; nil for none.
    ///
    /// Its directory must exist.
    public var socketPath: FilePath?
    /// The group that may use the socket besides root and the agent's own user; nil for nobody else.
    ///
    /// Who is in it is
    /// decided by the kernel, through the socket file's owner and mode 0660.
    public var socketGroup: UInt32?
    /// A socket that listens already, in place of ``socketPath``; its file is its owner's.
    public var inheritedSocket: InheritedSocket?
    /// The TCP port; nil for none, 0 for any that is free.
    ///
    /// Without ``jwtSecret`` there is no TCP listener either way.
    public var port: Int?
    /// The address that TCP is bound to.
    public var bindAddress: String
    /// What tokens are signed with (HS256).
    public var jwtSecret: String?
    /// nil serves plain HTTP on TCP.
    public var tls: TLS?
    /// Connections that each listener serves at a time; more wait in the kernel's queue.
    public var maximumConnections: Int

    public init(
        socketPath: FilePath?,
        socketGroup: UInt32? = nil,
        inheritedSocket: InheritedSocket? = nil,
        port: Int? = nil,
        bindAddress: String = "127.0.0.1",
        jwtSecret: String? = nil,
        tls: TLS? = nil,
        maximumConnections: Int = 512
    ) {
        self.socketPath = socketPath
        self.socketGroup = inheritedSocket.map(\.group) ?? socketGroup
        self.inheritedSocket = inheritedSocket
        self.port = port
        self.bindAddress = bindAddress
        self.jwtSecret = jwtSecret
        self.tls = tls
        self.maximumConnections = maximumConnections
    }
}
