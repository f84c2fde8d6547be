/// Rules that other programs have loaded before, as theirs look.
public enum ForeignRules: CaseIterable, Sendable {
    case none
    case docker
    case ufw

    /// Loads them beside what is there.
    public func load(into namespace: TestNamespace) async throws {
        guard let text else { return }
        try await namespace.run("sh", "-ec", "printf '%s\\n' \"$1\" | iptables-nft-restore --noflush", "sh", text)
    }

    private var text: String? {
        switch self {
        case .none: nil
        case .docker:
            """
            *filter
            :FORWARD DROP [0:0]
            :DOCKER - [0:0]
            :DOCKER-ISOLATION-STAGE-1 - [0:0]
            :DOCKER-ISOLATION-STAGE-2 - [0:0]
            :DOCKER-USER - [0:0]
            -A FORWARD -j DOCKER-USER
            -A FORWARD -j DOCKER-ISOLATION-STAGE-1
            -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
            -A FORWARD -o docker0 -j DOCKER
            -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
            -A FORWARD -i docker0 -o docker0 -j ACCEPT
            -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
            -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
            -A DOCKER-ISOLATION-STAGE-1 -j RETURN
            -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
            -A DOCKER-ISOLATION-STAGE-2 -j RETURN
            -A DOCKER-USER -j RETURN
            COMMIT
            *nat
            :DOCKER - [0:0]
            -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
            -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
            -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
            -A DOCKER -i docker0 -j RETURN
            -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8088 -j DNAT --to-destination 172.17.0.2:80
            COMMIT

            """
        case .ufw:
            """
            *filter
            :INPUT DROP [0:0]
            :FORWARD DROP [0:0]
            :OUTPUT ACCEPT [0:0]
            :ufw-before-input - [0:0]
            :ufw-before-forward - [0:0]
            :ufw-user-input - [0:0]
            :ufw-user-forward - [0:0]
            :ufw-reject-forward - [0:0]
            -A INPUT -j ufw-before-input
            -A INPUT -j ufw-user-input
            -A FORWARD -j ufw-before-forward
            -A FORWARD -j ufw-user-forward
            -A FORWARD -j ufw-reject-forward
            -A ufw-before-input -i lo -j ACCEPT
            -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
            -A ufw-before-input -m conntrack --ctstate INVALID -j DROP
            -A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
            -A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
            -A ufw-reject-forward -j REJECT --reject-with icmp-port-unreachable
            COMMIT

            """
        }
    }
}
