/// Columns of text.
struct Table {
    private let titles: [String]
    private var rows: [[String]] = []

    init(_ titles: String...) { self.titles = titles }

    mutating func add(_ cells: String...) { rows.append(cells) }

    /// All lines, the titles first; columns are as wide as they need, three spaces apart, nothing at a line's end.
    var lines: [String] {
        let all = [titles] + rows.map { $0.map(Self.printable) }
        let widths = titles.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            var line = ""
            for (cell, width) in zip(row, widths) {
                line += cell + String(repeating: " ", count: width - cell.count + 3)
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    /// What came from elsewhere must not drive the terminal.
    static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { $0.value < 32 || (127..<160).contains($0.value) ? "?" : $0 }
            )
        )
    }
}
