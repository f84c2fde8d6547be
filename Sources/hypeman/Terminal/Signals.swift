import Dispatch
import Foundation

/// Signals as a stream, instead of what they would do to the process.
enum Signals {
    /// The given signals as they arrive, until the stream is dropped; afterwards they do what they usually do.
    static func stream(_ numbers: [Int32]) -> AsyncStream<Int32> {
        AsyncStream(bufferingPolicy: .bufferingNewest(8)) { continuation in
            let sources = numbers.map { number in
                signal(number, SIG_IGN)
                let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
                source.setEventHandler { continuation.yield(number) }
                source.resume()
                return SourceBox(source)
            }
            continuation.onTermination = { _ in
                for source in sources { source.source.cancel() }
                for number in numbers { signal(number, SIG_DFL) }
            }
        }
    }

    /// `@unchecked Sendable`: dispatch sources may be cancelled from any thread; the protocol does not say so on Linux.
    private final class SourceBox: @unchecked Sendable {
        let source: any DispatchSourceSignal
        init(_ source: any DispatchSourceSignal) { self.source = source }
    }
}
