/// Signals by name, as an image's STOPSIGNAL writes them.
enum SignalName {
    /// Numbers as signal(7) has them for x86 and ARM.
    private static let numbers: [String: Int32] = [
        "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "IOT": 6, "BUS": 7, "FPE": 8, "KILL": 9,
        "USR1": 10,
        "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CONT": 18, "STOP": 19,
        "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27, "WINCH": 28,
        "IO": 29, "POLL": 29, "PWR": 30, "SYS": 31, "RTMIN": 34, "RTMAX": 64,
    ]

    /// The greatest signal number.
    static let maximum: Int32 = 64

    /// Reads `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3` or `RTMAX-2`, in any case.
    static func number(of text: String) -> Int32? {
        if let number = Int32(text) { return (1...maximum).contains(number) ? number : nil }
        var name = text.uppercased()
        if name.hasPrefix("SIG") { name.removeFirst(3) }
        if let number = numbers[name] { return number }
        guard let sign = name.firstIndex(where: { $0 == "+" || $0 == "-" }),
            let base = numbers[String(name[..<sign])], base == 34 || base == 64,
            let offset = Int32(name[name.index(after: sign)...]), (0...30).contains(offset)
        else { return nil }
        let number = name[sign] == "+" ? base + offset : base - offset
        return (34...maximum).contains(number) ? number : nil
    }
}
