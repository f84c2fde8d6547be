import CInit
import GuestProtocol
import NIOCore

/// Carries the program's stdout and stderr from their pipes to whoever of the host's streams reads them.
///
/// While the host reads, a full buffer makes the program wait; while it does not, the oldest output is dropped, so that
/// an absent agent never stops a program. Used on the event loop only.
final class ProgramOutput {
    private var buffer: OutputBuffer
    private var sources: [PipeReader] = []
    private var open = 0
    private var programEnded = false
    private var subscriber: (any OutputSubscriber)?

    init(capacity: Int) {
        buffer = OutputBuffer(capacity: capacity)
    }

    /// Whether the program has ended and nothing more will come from its pipes.
    var isComplete: Bool { programEnded && open == 0 }

    /// Starts to read one of the two pipes, or the terminal.
    func read(
        _ descriptor: Int32,
        as stream: OutputStream,
        on eventLoop: any EventLoop,
        onEnd: @escaping () -> Void = {}
    ) {
        open += 1
        let reader = PipeReader(
            canRead: { [unowned self] in subscriber == nil || !buffer.isFull },
            onBytes: { [unowned self] bytes in append(bytes, of: stream) },
            onEnd: { [unowned self] in
                open -= 1
                onEnd()
                pump()
            }
        )
        sources.append(reader)
        reader.start(descriptor, on: eventLoop)
    }

    /// Called when the program has ended: what is in the pipes is still read, what others go on writing is not.
    func finish() {
        programEnded = true
        for source in sources { source.finish() }
        pump()
    }

    /// Makes a stream of the host's the one that gets the output; one before it ends.
    func subscribe(_ subscriber: any OutputSubscriber) {
        self.subscriber?.end()
        self.subscriber = subscriber
        pump()
    }

    /// Called when a stream is gone.
    func unsubscribe(_ subscriber: any OutputSubscriber) {
        guard self.subscriber === subscriber else { return }
        self.subscriber = nil
        resumeSources()
    }

    func acknowledge(upTo position: UInt64) {
        buffer.acknowledge(upTo: position)
        resumeSources()
    }

    /// Hands on what the subscriber has room for.
    func pump() {
        guard let subscriber else { return }
        while subscriber.hasRoom, let output = buffer.next(from: subscriber.position) {
            subscriber.send(output)
        }
        if isComplete, subscriber.position >= buffer.end {
            self.subscriber = nil
            subscriber.end()
        }
    }

    private func append(_ bytes: [UInt8], of stream: OutputStream) {
        if subscriber == nil { buffer.dropUntilNotFull() }
        buffer.append(bytes, of: stream, at: hypeman_uptime_microseconds())
        pump()
    }

    private func resumeSources() {
        for source in sources { source.resume() }
    }
}

/// One stream of the host's that reads the program's output.
///
/// Used on the event loop only.
protocol OutputSubscriber: AnyObject {
    /// The next byte that it wants.
    var position: UInt64 { get }
    /// Whether it takes more now; it calls ``ProgramOutput/pump()`` when that becomes true again.
    var hasRoom: Bool { get }
    /// Sends a stretch and moves ``position`` behind it.
    func send(_ output: GuestOutput)
    /// No more will come.
    func end()
}
