/// An image in the `manifest.json` of `docker save`: the archive's members that it is made of, and its names.
struct DockerArchiveItem: Codable {
    var config: String
    var repoTags: [String]?
    /// Bottom first.
    var layers: [String]

    enum CodingKeys: String, CodingKey {
        case config = "Config"
        case repoTags = "RepoTags"
        case layers = "Layers"
    }
}
