/// Introspection data, in the form of the D-Bus specification.
enum Introspection {
    static func document(_ interfaces: [Interface], isManager: Bool, children: [String]) -> String {
        var lines = [
            #"<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN""#,
            #" "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">"#, "<node>",
        ]
        let all = standard + (isManager ? [objectManager] : []) + interfaces
        lines += all.flatMap(\.introspection)
        lines += children.map { #" <node name="\#($0)"/>"# }
        return (lines + ["</node>", ""]).joined(separator: "\n")
    }

    /// What every object has.
    private static let standard = [
        Interface("org.freedesktop.DBus.Introspectable", [declared("Introspect", [], [("xml_data", "s")])]),
        Interface(
            "org.freedesktop.DBus.Peer",
            [declared("Ping", [], []), declared("GetMachineId", [], [("machine_uuid", "s")])]
        ),
        Interface(
            "org.freedesktop.DBus.Properties",
            [
                declared("Get", [("interface_name", "s"), ("property_name", "s")], [("value", "v")]),
                declared("Set", [("interface_name", "s"), ("property_name", "s"), ("value", "v")], []),
                declared("GetAll", [("interface_name", "s")], [("props", "a{sv}")]),
                signal(
                    "PropertiesChanged",
                    [("interface_name", "s"), ("changed_properties", "a{sv}"), ("invalidated_properties", "as")]
                ),
            ]
        ),
    ]

    private static let objectManager = Interface(
        "org.freedesktop.DBus.ObjectManager",
        [
            declared("GetManagedObjects", [], [("objects", "a{oa{sa{sv}}}")]),
            signal("InterfacesAdded", [("object_path", "o"), ("interfaces_and_properties", "a{sa{sv}}")]),
            signal("InterfacesRemoved", [("object_path", "o"), ("interfaces", "as")]),
        ]
    )

    private static func declared(
        _ name: String,
        _ inputs: [(String, String)],
        _ outputs: [(String, String)]
    ) -> Interface.Member {
        .method(
            Interface.Method(
                name: name,
                inputs: inputs.map { Interface.Argument($0, $1) },
                outputs: outputs.map { Interface.Argument($0, $1) },
                call: { _ in [] }
            )
        )
    }

    private static func signal(_ name: String, _ arguments: [(String, String)]) -> Interface.Member {
        .signal(Interface.Signal(name: name, arguments: arguments.map { Interface.Argument($0, $1) }))
    }
}

extension Interface {
    fileprivate var introspection: [String] {
        var lines = [#" <interface name="\#(name)">"#]
        for member in members {
            switch member {
            case .method(let method):
                lines.append(#"  <method name="\#(method.name)">"#)
                lines += method.inputs.map { #"   <arg name="\#($0.name)" type="\#($0.signature)" direction="in"/>"# }
                lines += method.outputs.map { #"   <arg name="\#($0.name)" type="\#($0.signature)" direction="out"/>"# }
                lines.append("  </method>")
            case .property(let property):
                let access = property.set == nil ? "read" : "readwrite"
                let head = #"  <property name="\#(property.name)" type="\#(property.signature)" access="\#(access)""#
                guard property.emission != .value else {
                    lines.append(head + "/>")
                    continue
                }
                let name = "org.freedesktop.DBus.Property.EmitsChangedSignal"
                lines.append(head + ">")
                lines.append(#"   <annotation name="\#(name)" value="\#(property.emission.rawValue)"/>"#)
                lines.append("  </property>")
            case .signal(let signal):
                lines.append(#"  <signal name="\#(signal.name)">"#)
                lines += signal.arguments.map { #"   <arg name="\#($0.name)" type="\#($0.signature)"/>"# }
                lines.append("  </signal>")
            }
        }
        return lines + [" </interface>"]
    }
}
