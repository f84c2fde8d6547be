import Synchronization

extension ImagesService {
    /// Gives an image whose parts were pushed its name, and starts converting it unless its root disk is here.
    ///
    /// If the same image is being converted or pulled at the moment, this waits for the end of that.
    ///
    /// - Parameters:
    ///   - fetched: The image.
    ///   - reference: Its name, which is another image's no longer.
    ///   - index: The index that the name stands for, if it does not stand for the image alone.
    /// - Returns: Whether the image is going to be built from the layers of `fetched`.
    /// - Throws: What the store says; `CancellationError`.
    func accept(_ fetched: FetchedImage, as reference: ImageReference, index: Digest?) async throws -> Bool {
        while true {
            try Task.checkCancellation()
            // A job tells its end to the names that it finds then: one that comes a moment later would wait for ever.
            if let job = job(of: fetched.digest) { await job.value }
            let isBuilding = try await changes.withTurn { () -> Bool? in
                guard job(of: fetched.digest) == nil else { return nil }
                return try await name(fetched, reference, index)
            }
            if let isBuilding { return isBuilding }
        }
    }

    private func name(_ fetched: FetchedImage, _ reference: ImageReference, _ index: Digest?) async throws -> Bool {
        let previous = image(named: reference.description)
        var image = Image(
            name: reference.description,
            digest: fetched.digest,
            status: .converting,
            createdAt: time.now(),
            tags: previous?.tags ?? [:],
            imported: true
        )
        image.index = index
        if let previous, previous.digest == image.digest { image.createdAt = previous.createdAt }
        shareDisk(with: &image)
        try await put(image)
        return image.status != .ready && startBuilding(fetched)
    }

    /// What is under way for a digest.
    ///
    /// Jobs begin in a turn of ``changes``: who has it and finds none knows that none begins.
    private func job(of digest: Digest) -> Task<Void, Never>? { state.withLock { $0.jobs[digest] } }
}
