// Made by scripts/openapi.sh from openapi.yaml; edit that and run `make oapi-generate`.
// swift-format-ignore-file

/// The API's description as it stands in this build.
enum OpenAPIDocument {
    static let yaml = ###"""
        openapi: 3.1.0
        info:
          title: hypeman-agent
          version: 0.1.0
          summary: Container images as virtual machines, on one Linux host.
          description: |
            This document is the contract: the agent's routes, statuses and bodies are tested against it.

            Over the agent's unix socket the kernel says who a client is, and root, the agent's own user and the members of the
            socket's group may do everything. Over TCP every request but those marked otherwise needs a token: a JSON Web Token
            signed with HS256, with `exp`, and with the scopes of its bearer in `permissions`: `instance:read`,
            `instance:write`, `instance:delete`, `image:read`, `image:write`, `image:delete`, a noun with `*`, or `*`. A token
            without `permissions` may do everything, one with an empty list nothing. Whoever fails twenty times a minute is
            refused for the rest of it.

            Fields and parameters that are not described here are refused. Paths of the original Hypeman server that this agent
            does not serve answer 501 with code `not_implemented`. An answer to GET carries an `ETag`; `If-None-Match` makes it
            304. `X-Request-ID` is taken over from the request or made up, and appears in the agent's log.
          license:
            name: Apache-2.0
            identifier: Apache-2.0
        servers:
          - url: http://localhost:8080
        security:
          - token: []
        tags:
          - name: system
          - name: images
          - name: instances
          - name: volumes
        paths:
          /health:
            get:
              operationId: getHealth
              tags: [system]
              summary: Whether the agent lives.
              security: []
              responses:
                "200":
                  description: It does.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Health" }
          /ready:
            get:
              operationId: getReady
              tags: [system]
              summary: Whether the agent takes work.
              security: []
              responses:
                "200":
                  description: It does.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Health" }
                "503": { $ref: "#/components/responses/Error" }
          /capabilities:
            get:
              operationId: getCapabilities
              tags: [system]
              summary: What this agent and its host can do.
              responses:
                "200":
                  description: The abilities.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Capabilities" }
                "304": { description: The client has it already. }
                default: { $ref: "#/components/responses/Error" }
          /resources:
            get:
              operationId: getResources
              tags: [system]
              summary: What the host has, and what instances were promised of it.
              description: |
                Sums are said, not enforced: a create is not refused for them. Processors, memory and bandwidth count for
                instances that are not stopped, disks for all. Of each instance the greater of its two bandwidth limits counts,
                none where it has no limits.
              responses:
                "200":
                  description: The resources.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Resources" }
                "304": { description: The client has it already. }
                default: { $ref: "#/components/responses/Error" }
          /system/df:
            get:
              operationId: getDiskUsage
              tags: [system]
              summary: What images and instances take of the host's disk.
              description: |
                Measured in blocks of files, so that holes count nothing. An image is active if an instance was made from it, in
                whatever state that is; an overlay or log, if its instance is not stopped. Reclaimable is the size of what is
                not active; of downloads (blobs that are no root disk, and what is being received or written) what nobody needs.
              responses:
                "200":
                  description: The sizes.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/DiskUsage" }
                "304": { description: The client has it already. }
                default: { $ref: "#/components/responses/Error" }
          /spec.yaml:
            get:
              operationId: getSpecificationYAML
              tags: [system]
              summary: This document.
              security: []
              responses:
                "200":
                  description: The document.
                  content:
                    application/yaml:
                      schema: { type: string }
          /spec.json:
            get:
              operationId: getSpecificationJSON
              tags: [system]
              summary: This document as JSON.
              security: []
              responses:
                "200":
                  description: The document.
                  content:
                    application/json:
                      schema: { type: object }
          /images:
            get:
              operationId: listImages
              tags: [images]
              summary: All images by name, whatever their status.
              parameters:
                - $ref: "#/components/parameters/Tags"
              responses:
                "200":
                  description: The images.
                  content:
                    application/json:
                      schema:
                        type: array
                        items: { $ref: "#/components/schemas/Image" }
                "304": { description: The client has it already. }
                default: { $ref: "#/components/responses/Error" }
            post:
              operationId: createImage
              tags: [images]
              summary: Get an image from its registry.
              description: |
                Answers as soon as the registry has said which manifest the name stands for; the image is `ready` later, as
                `GET /images/{name}/progress` tells. An image that failed is tried again, one that is here is returned as it is.
              parameters:
                - name: X-Registry-Auth
                  in: header
                  description: |
                    Whom the registry is asked as, for this pull only: base64url of a JSON object as in Docker's Engine API, with
                    `username` and `password`, `identitytoken` or `registrytoken`, and perhaps `serveraddress`, which must be the
                    image's registry. Without it the logins of the agent's configuration are used.
                  schema: { type: string, maxLength: 8192 }
              requestBody:
                required: true
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/CreateImage" }
              responses:
                "202":
                  description: It is on its way, or here.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Image" }
                default: { $ref: "#/components/responses/Error" }
          /images/import:
            post:
              operationId: importImage
              tags: [images]
              summary: Make an image of an archive.
              description: |
                The body is an OCI image layout in a tar, a `docker save` archive, or the tar of a root filesystem, each also
                compressed with gzip or zstd, of any size. Of an upload that breaks off nothing is left.
              parameters:
                - name: name
                  in: query
                  description: The image's name; may be left out where the archive carries one.
                  schema: { type: string }
                - $ref: "#/components/parameters/Tags"
              requestBody:
                required: true
                content:
                  application/octet-stream:
                    schema: { type: string, format: binary }
              responses:
                "202":
                  description: It was received and is being converted.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Image" }
                default: { $ref: "#/components/responses/Error" }
          /images/prune:
            post:
              operationId: pruneImages
              tags: [images]
              summary: Remove images that nobody uses.
              description: |
                Removes images that failed, with `all` also those that no instance was made from, and from the disk whatever no
                image and no instance needs: root disks whose name moved on to another digest, and what is left of failed pulls.
                An image that an instance in any state was made from stays, and so does one that is on its way.
              requestBody:
                required: false
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/PruneImages" }
              responses:
                "200":
                  description: What was removed, or would be.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/PrunedImages" }
                default: { $ref: "#/components/responses/Error" }
          /images/{name}:
            parameters:
              - $ref: "#/components/parameters/ImageName"
            get:
              operationId: getImage
              tags: [images]
              summary: One image.
              responses:
                "200":
                  description: The image.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Image" }
                "304": { description: The client has it already. }
                default: { $ref: "#/components/responses/Error" }
            delete:
              operationId: deleteImage
              tags: [images]
              summary: Forget a name, and what only it needs.
              responses:
                "204": { description: It is gone. }
                default: { $ref: "#/components/responses/Error" }
          /images/{name}/archive:
            parameters:
              - $ref: "#/components/parameters/ImageName"
            get:
              operationId: saveImage
              tags: [images]
              summary: An image as a file.
              description: |
                An OCI image layout in a tar, with the `manifest.json` that `docker load` reads. The image has one layer there and
                another digest; what runs of it is the same. The same image gives the same bytes.
              responses:
                "200":
                  description: The archive.
                  content:
                    application/x-tar:
                      schema: { type: string, format: binary }
                default: { $ref: "#/components/responses/Error" }
          /images/{name}/progress:
            parameters:
              - $ref: "#/components/parameters/ImageName"
            get:
              operationId: followImage
              tags: [images]
              summary: How a pull or import goes, as server-sent events.
              description: |
                Each event is `data: ` and an `ImageProgress` as JSON. The first one comes at once, the last one has the status
                `ready` or `failed`, and the stream ends after it.
              responses:
                "200":
                  description: The events.
                  content:
                    text/event-stream:
                      schema: { type: string }
                default: { $ref: "#/components/responses/Error" }
          /events:
            get:
              operationId: followEvents
              tags: [system]
              summary: What happens, as it happens.
              description: |
                Server-sent events, one for each change of an instance, an image, a snapshot or the network, numbered without gaps.
                The stream does not end by itself. One whose events are not kept any more ends early: the position is too old.
              parameters:
                - name: after
                  in: query
                  description: The number of the last event that is known; without it the newest that there is.
                  schema: { type: integer, minimum: 0 }
              responses:
                "200":
                  description: The events.
                  content:
                    text/event-stream:
                      schema: { $ref: "#/components/schemas/Event" }
                default: { $ref: "#/components/responses/Error" }
          /instances:
            get:
              operationId: listInstances
              tags: [instances]
              summary: All instances, oldest first.
              parameters:
                - name: state
                  in: query
                  schema: { $ref: "#/components/schemas/InstanceState" }
                - $ref: "#/components/parameters/Tags"
              responses:
                "200":
                  description: The instances.
                  content:
                    application/json:
                      schema:
                        type: array
                        items: { $ref: "#/components/schemas/Instance" }
                "304": { description: The client has it already. }
                default: { $ref: "#/components/responses/Error" }
            post:
              operationId: createInstance
              tags: [instances]
              summary: Make an instance and start it.
              description: |
                Answers when the virtual machine runs; its program is running once the state is `Running`. The image must be
                `ready`. Of an instance whose creation failed nothing is left.
              requestBody:
                required: true
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/CreateInstance" }
              responses:
                "201":
                  description: It was made.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Instance" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            get:
              operationId: getInstance
              tags: [instances]
              summary: One instance.
              responses:
                "200":
                  description: The instance.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Instance" }
                "304": { description: The client has it already. }
                default: { $ref: "#/components/responses/Error" }
            delete:
              operationId: deleteInstance
              tags: [instances]
              summary: Remove an instance and all that belongs to it, whatever its state.
              responses:
                "204": { description: It is gone. }
                default: { $ref: "#/components/responses/Error" }
            patch:
              operationId: updateInstance
              tags: [instances]
              summary: Change an instance.
              description: |
                `vcpus` and `size` change at once where it is Running, within what it was started with room for (409 `no_room`
                beyond that), and from its next start on where it is Stopped; in other states they are refused.
              requestBody:
                required: true
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/UpdateInstance" }
              responses:
                "200":
                  description: The instance as it is now.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Instance" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/start:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            post:
              operationId: startInstance
              tags: [instances]
              summary: Start a stopped instance.
              requestBody:
                required: false
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/StartInstance" }
              responses:
                "200":
                  description: Its virtual machine runs.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Instance" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/stop:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            post:
              operationId: stopInstance
              tags: [instances]
              summary: Stop an instance.
              description: |
                The program's stop signal first, then the power button, then the end of the virtual machine. An instance that is
                stopped is returned as it is.
              requestBody:
                required: false
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/StopInstance" }
              responses:
                "200":
                  description: It is stopped.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Instance" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/pause:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            post:
              operationId: pauseInstance
              tags: [instances]
              summary: Let an instance stand still.
              description: |
                Its vCPUs stop, its memory stays where it is, until it is resumed, also over a restart of the agent. One that is
                Paused is returned as it is.
              responses:
                "200":
                  description: It stands still.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Instance" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/resume:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            post:
              operationId: resumeInstance
              tags: [instances]
              summary: Let a paused instance run on.
              description: |
                Its guest is told what time it is. One that is Running is returned as it is.
              responses:
                "200":
                  description: It runs.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Instance" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/standby:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            post:
              operationId: standbyInstance
              tags: [instances]
              summary: Put an instance's memory on disk.
              description: |
                Its virtual machine ends; address, name and disks stay its own. A failure leaves it as it was. One that is in
                Standby is returned as it is.
              requestBody:
                required: false
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/StandbyInstance" }
              responses:
                "200":
                  description: It is in Standby.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Instance" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/restore:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            post:
              operationId: restoreInstance
              tags: [instances]
              summary: Take an instance's memory up from disk.
              description: |
                It runs on where it was put on standby; its guest is told what time it is, and gets other random numbers. A
                failure leaves it in Standby, and says why: the hypervisor's version, the disk, or the saved memory does not fit.
              responses:
                "200":
                  description: It runs.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Instance" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/fork:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            post:
              operationId: forkInstance
              tags: [instances]
              summary: Make a new instance that goes on where this one is.
              description: |
                The new one has a name, an address, a disk and a log of its own, and what was asked for of the other, but no
                published ports. From the memory of one in Standby or Paused, or of one that runs where `from_running` allows it to
                stand still meanwhile, the guest runs on as the other's does; before anything else is asked of it, it is told that it
                is another one: random numbers, time, host name, machine id, MAC and address. What was connected to the other is not
                connected to it. Without memory, or with the target `Stopped`, the disk is what it was at that moment.

                Nothing is left of a fork that failed.
              requestBody:
                required: true
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/ForkInstance" }
              responses:
                "201":
                  description: The new instance, in its target state; Initializing, or beyond, if it was started from its disk.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Instance" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/commit:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            post:
              operationId: commitInstance
              tags: [instances]
              summary: Make an image of what an instance's root file system has become.
              description: |
                The image has the configuration of the instance's own. The instance, which is Running, runs on; a file that its program
                writes meanwhile is in the image as it was when it was read. Volumes and whatever else is mounted are not in it, nor
                the files that say who and where the instance is (`/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`). A token needs the
                permissions `instance:write` and `image:write`. This agent's own.
              requestBody:
                required: true
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/CommitInstance" }
              responses:
                "202":
                  description: The files were read, and are being converted.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Image" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/snapshots:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            post:
              operationId: createSnapshot
              tags: [snapshots]
              summary: Keep an instance as it is now.
              description: |
                `Standby` keeps memory and disk of one that is Running, Paused or in Standby, `Stopped` the disk of one that is
                Stopped. The instance goes on as it was; one that runs stands still while memory and disk are written.
              requestBody:
                required: true
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/CreateSnapshot" }
              responses:
                "201":
                  description: It is on disk.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Snapshot" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/snapshots/{snapshotId}/restore:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
              - name: snapshotId
                in: path
                required: true
                schema: { type: string }
            post:
              operationId: restoreSnapshot
              tags: [snapshots]
              summary: Make an instance what it was in a snapshot of its own.
              description: What it is now is lost. It must be Stopped or in Standby.
              requestBody:
                required: false
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/RestoreSnapshot" }
              responses:
                "200":
                  description: It is what it was.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Instance" }
                default: { $ref: "#/components/responses/Error" }
          /snapshots:
            get:
              operationId: listSnapshots
              tags: [snapshots]
              summary: All snapshots, oldest first.
              parameters:
                - name: name
                  in: query
                  schema: { type: string }
                - name: source_instance_id
                  in: query
                  schema: { type: string }
                - name: kind
                  in: query
                  schema: { type: string, enum: [Standby, Stopped] }
                - $ref: "#/components/parameters/Tags"
              responses:
                "200":
                  description: The snapshots.
                  content:
                    application/json:
                      schema:
                        type: array
                        items: { $ref: "#/components/schemas/Snapshot" }
                "304": { description: The client has it already. }
                default: { $ref: "#/components/responses/Error" }
          /snapshots/{id}:
            parameters:
              - name: id
                in: path
                required: true
                description: An id, a name, or a prefix of an id that fits no other; in this order.
                schema: { type: string }
            get:
              operationId: getSnapshot
              tags: [snapshots]
              summary: One snapshot.
              responses:
                "200":
                  description: The snapshot.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Snapshot" }
                "304": { description: The client has it already. }
                default: { $ref: "#/components/responses/Error" }
            delete:
              operationId: deleteSnapshot
              tags: [snapshots]
              summary: Remove a snapshot, whatever has become of its instance.
              responses:
                "204": { description: It is gone. }
                default: { $ref: "#/components/responses/Error" }
          /volumes:
            get:
              operationId: listVolumes
              tags: [volumes]
              summary: All volumes, oldest first.
              parameters:
                - name: name
                  in: query
                  schema: { type: string }
                - $ref: "#/components/parameters/Tags"
              responses:
                "200":
                  description: The volumes.
                  content:
                    application/json:
                      schema:
                        type: array
                        items: { $ref: "#/components/schemas/Volume" }
                "304": { description: The client has it already. }
                default: { $ref: "#/components/responses/Error" }
            post:
              operationId: createVolume
              tags: [volumes]
              summary: Make a volume, empty or of an archive.
              description: |
                JSON makes an empty one. A form has an archive as `content`, as `/volumes/from-archive` takes it; its fields may
                come in any order, and what is wrong with those before the archive is said before it is received.
              requestBody:
                required: true
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/CreateVolume" }
                  multipart/form-data:
                    schema:
                      type: object
                      required: [name, size_gb, content]
                      properties:
                        name: { type: string }
                        size_gb: { type: integer, minimum: 1 }
                        id: { type: string }
                        content: { type: string, format: binary }
              responses:
                "201":
                  description: It is there.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Volume" }
                default: { $ref: "#/components/responses/Error" }
          /volumes/from-archive:
            post:
              operationId: createVolumeFromArchive
              tags: [volumes]
              summary: Make a volume of an archive.
              description: |
                The body is a tar archive, as it is or compressed with gzip or zstd. Owners, modes, times, links, devices and
                extended attributes are kept. Of an upload that breaks off, and of an archive that is broken or does not fit,
                nothing is left.
              parameters:
                - name: name
                  in: query
                  required: true
                  schema: { type: string }
                - name: size_gb
                  in: query
                  required: true
                  schema: { type: integer, minimum: 1 }
                - name: id
                  in: query
                  schema: { type: string }
                - $ref: "#/components/parameters/Tags"
              requestBody:
                required: true
                content:
                  application/octet-stream:
                    schema: { type: string, format: binary }
              responses:
                "201":
                  description: It is there.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Volume" }
                default: { $ref: "#/components/responses/Error" }
          /volumes/{id}:
            parameters:
              - name: id
                in: path
                required: true
                description: A volume's id, its name, or a prefix of its id that fits no other.
                schema: { type: string }
            get:
              operationId: getVolume
              tags: [volumes]
              summary: One volume.
              responses:
                "200":
                  description: The volume.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Volume" }
                "304": { description: The client has it already. }
                default: { $ref: "#/components/responses/Error" }
            patch:
              operationId: growVolume
              tags: [volumes]
              summary: Give a volume more room.
              description: While the instances that have it are Stopped.
              requestBody:
                required: true
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/UpdateVolume" }
              responses:
                "200":
                  description: It has it.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Volume" }
                default: { $ref: "#/components/responses/Error" }
            delete:
              operationId: deleteVolume
              tags: [volumes]
              summary: Remove a volume that no instance has, and what is on it.
              responses:
                "204": { description: It is gone. }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/volumes/{volumeId}:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
              - name: volumeId
                in: path
                required: true
                description: A volume's id, its name, or a prefix of its id that fits no other.
                schema: { type: string }
            post:
              operationId: attachVolume
              tags: [volumes]
              summary: Give an instance a volume.
              description: |
                One that is Running has it mounted when this is answered; a Stopped one from its next start on.
              requestBody:
                required: true
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/AttachVolume" }
              responses:
                "200":
                  description: The instance has it.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Instance" }
                default: { $ref: "#/components/responses/Error" }
            delete:
              operationId: detachVolume
              tags: [volumes]
              summary: Take a volume from an instance.
              description: |
                From one that is Running if it was attached while it ran and nobody in it uses the volume; from a Stopped one
                always.
              responses:
                "200":
                  description: The instance does not have it any more.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Instance" }
                default: { $ref: "#/components/responses/Error" }
          /snapshots/{id}/fork:
            parameters:
              - name: id
                in: path
                required: true
                description: An id, a name, or a prefix of an id that fits no other; in this order.
                schema: { type: string }
            post:
              operationId: forkSnapshot
              tags: [snapshots]
              summary: Make a new instance that goes on where another was when a snapshot was made of it.
              description: As for a fork of an instance; whether that is still there does not matter.
              requestBody:
                required: true
                content:
                  application/json:
                    schema: { $ref: "#/components/schemas/ForkSnapshot" }
              responses:
                "201":
                  description: The new instance, in its target state; Initializing, or beyond, if it was started from its disk.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Instance" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/stats:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            get:
              operationId: getInstanceStats
              tags: [instances]
              summary: What an instance has used since it was last started.
              description: While it does not run, what it used is 0.
              responses:
                "200":
                  description: What it used, and what it was promised.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/InstanceStats" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/wait:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            get:
              operationId: waitForInstance
              tags: [instances]
              summary: Wait until an instance is in a state, or cannot come to it by itself.
              parameters:
                - name: state
                  in: query
                  required: true
                  schema: { $ref: "#/components/schemas/InstanceState" }
                - name: timeout
                  in: query
                  description: As `90s` or `1m30s`; at most five minutes, more is taken as that.
                  schema: { type: string, default: 60s }
              responses:
                "200":
                  description: The state, and whether the time ran out before it was the one waited for.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/Wait" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/logs:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            get:
              operationId: getInstanceLogs
              tags: [instances]
              summary: An instance's log, as server-sent events.
              description: |
                Each event is `data: ` and JSON: with format `text` a string, the line; with `record` a `LogRecord`, which keeps
                the time, the stream, partial lines, and bytes that are no text. A log that is followed ends when the instance is
                Stopped, with all that its program wrote, or is removed. The connection is closed with the last event.
              parameters:
                - name: tail
                  in: query
                  description: How many of the last lines; -1 for all.
                  schema: { type: integer, minimum: -1, default: 100 }
                - name: follow
                  in: query
                  schema: { type: boolean, default: false }
                - name: source
                  in: query
                  schema: { type: string, enum: [app, console, vmm, hypeman], default: app }
                - name: format
                  in: query
                  schema: { type: string, enum: [text, record], default: text }
              responses:
                "200":
                  description: The events.
                  content:
                    text/event-stream:
                      schema: { type: string }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/exec:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            get:
              operationId: execInInstance
              tags: [instances]
              summary: Run a command in an instance, over a WebSocket.
              description: |
                The upgrade must be the first request on its connection. The client's first frame is the text of an `Exec`.

                Without a subprotocol every further frame of the client is stdin, but for the text
                `{"resize":{"rows":24,"cols":80}}`; the server's binary frames are output, and its last one is the text
                `{"exitCode":0}`.

                With the subprotocol `hypeman.exec.v1` binary frames begin with a byte that names their stream: 0 stdin, 1
                stdout, 2 stderr. Text frames of the client are `{"type":"stdin_end"}`, `{"type":"resize","rows":24,"cols":80}`
                and `{"type":"signal","signal":15}`; the server's last one is an `ExecOutcome`.

                Frames have at most 1 MiB. The command is killed when the client leaves.
              responses:
                "101": { description: The connection is a WebSocket now. }
                "426": { $ref: "#/components/responses/Error" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/stat:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            get:
              operationId: statPath
              tags: [instances]
              summary: What is at a path of a running instance.
              description: That there is nothing is no error; what is wrong with the path itself is said in `error`.
              parameters:
                - name: path
                  in: query
                  required: true
                  description: Absolute.
                  schema: { type: string }
                - name: follow_links
                  in: query
                  description: Whether a symbolic link stands for its target.
                  schema: { type: boolean, default: false }
              responses:
                "200":
                  description: What is there.
                  content:
                    application/json:
                      schema: { $ref: "#/components/schemas/PathInfo" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/cp:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            get:
              operationId: copyFiles
              tags: [instances]
              summary: Copy files into a running instance or out of it, over a WebSocket.
              description: |
                The upgrade must be the first request on its connection, which is for one copy. The client's first frame is the
                text of a `Copy`; the server's last one is the text of a `CopyOutcome`. Frames have at most 1 MiB.

                Without a subprotocol a connection is for one file, or one directory without what is in it, on the way `to` an
                instance: `guest_path` is what it becomes, directories above it are made, the client's binary frames are the
                contents, the text `{"type":"end"}` ends them, and the answer is of type `result`. On the way `from` an instance a
                tree comes out in one: for each file, directory and symbolic link the text of a `CopyHeader`, its contents in binary
                frames, and the text `{"type":"end","final":false}`; `final` is true behind the last one. Every name of a file has
                all of its contents there, and holes are zeros; other kinds of files are left out. The direction `stat` is
                answered by a `PathInfo` of type `stat`.

                With the subprotocol `hypeman.cp.tar.v1` the binary frames of whoever has the files are one tar archive, however it
                is cut: into the directory `guest_path`, which must be there, or of the file or directory `guest_path` (with `/.` at
                its end: of what is in it). ustar, GNU and PAX archives are taken, files with holes too; what comes out is PAX with
                `SCHILY.xattr` and GNU's sparse format 1.0. The client ends its archive by `{"type":"end"}`, the server ends its own
                by `{"type":"end","final":true}`.

                No name and no symbolic link of an archive leads out of `guest_path`. A file takes the place of the one before when
                it is whole: of a copy that ends early, what was whole before stays. Links are never written through.

                An `error` has one of these codes, besides those of a path that cannot be asked for: `path_not_found`,
                `not_a_directory`, `is_a_directory`, `path_outside`, `invalid_archive`, `guest_disk_full`, `guest_read_only`,
                `guest_refused`, `file_changed`, `guest_too_old` (stop and start the instance), `busy` (16 copies at a time).
              responses:
                "101": { description: The connection is a WebSocket now. }
                "426": { $ref: "#/components/responses/Error" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/attach:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            get:
              operationId: attachToInstance
              tags: [instances]
              summary: Attach to an instance's program, over a WebSocket.
              description: |
                This agent's own. For an instance that was created with `tty` or `stdin_open`; others are answered with
                `not_attachable`. The client's first frame is the text of an `Attach`; all further frames are those of exec, with
                and without the subprotocol. With a terminal all output is stdout.

                Output begins with the line that has no end yet (a prompt), or with the whole log where `logs` is true, and goes
                on to the program's end; the server's last frame says its exit code, when the instance is Stopped. Any number of
                clients may be attached. The end of stdin is told to the program (on a terminal it is one Control-D); a client that
                leaves changes nothing for it.
              parameters:
                - name: logs
                  in: query
                  description: Whether to begin with all that is in the log.
                  schema: { type: boolean, default: false }
              responses:
                "101": { description: The connection is a WebSocket now. }
                "426": { $ref: "#/components/responses/Error" }
                default: { $ref: "#/components/responses/Error" }
          /instances/{id}/console:
            parameters:
              - $ref: "#/components/parameters/InstanceID"
            get:
              operationId: followConsole
              tags: [instances]
              summary: Follow an instance's serial console, over a WebSocket.
              description: |
                This agent's own. The client's first frame is the text of an `Attach`, and what comes is framed as by attach: the
                last lines of the log of the console, then what the guest's kernel and early init write to it, until the instance is
                Stopped; the last frame says how the program ended. Nobody in the guest reads the console, so that there is no input:
                what a client sends is ignored.
              parameters:
                - name: tail
                  in: query
                  description: How many lines of the log to begin with; -1 is all.
                  schema: { type: integer, minimum: -1, default: 100 }
              responses:
                "101": { description: The connection is a WebSocket now. }
                "426": { $ref: "#/components/responses/Error" }
                default: { $ref: "#/components/responses/Error" }
        components:
          securitySchemes:
            token:
              type: http
              scheme: bearer
              bearerFormat: JWT
          parameters:
            ImageName:
              name: name
              in: path
              required: true
              description: A name with or without tag and digest, percent-encoded with its slashes.
              schema: { type: string }
            InstanceID:
              name: id
              in: path
              required: true
              description: An id, a name, or a prefix of an id that fits no other; in this order.
              schema: { type: string }
            Tags:
              name: tags
              in: query
              description: Tags that must be there, as `tags[name]=value`.
              style: deepObject
              explode: true
              schema:
                type: object
                additionalProperties: { type: string }
          responses:
            Error:
              description: What went wrong.
              content:
                application/json:
                  schema: { $ref: "#/components/schemas/Error" }
          schemas:
            Error:
              type: object
              required: [code, message]
              additionalProperties: false
              properties:
                code: { type: string, description: A stable word for programs. }
                message: { type: string, description: For people. }
                details:
                  type: array
                  items:
                    type: object
                    required: [code, message]
                    properties:
                      code: { type: string }
                      message: { type: string }
            Health:
              type: object
              required: [status]
              additionalProperties: false
              properties:
                status: { type: string, enum: [ok, ready] }
            Capabilities:
              type: object
              required: [version, platform, hypervisors, network, exec_protocols]
              additionalProperties: false
              properties:
                version: { type: string }
                platform: { type: string, description: As `linux/amd64`. }
                network: { type: boolean, description: Whether instances can have a network. }
                exec_protocols: { type: array, items: { type: string } }
                hypervisors:
                  type: array
                  items:
                    type: object
                    required: [name, version, accelerator, pause, snapshot, hotplug, resize]
                    additionalProperties: false
                    properties:
                      name: { type: string }
                      version: { type: string }
                      accelerator: { type: string, enum: [kvm, tcg] }
                      accelerator_reason: { type: string, description: Why it isn't kvm. }
                      pause: { type: boolean }
                      snapshot: { type: boolean }
                      hotplug: { type: boolean, description: Whether volumes can be attached and detached while an instance runs. }
                      resize: { type: boolean, description: Whether vCPUs and memory can be changed while an instance runs. }
            TagSet:
              type: object
              maxProperties: 50
              additionalProperties: { type: string, maxLength: 256 }
            CreateImage:
              type: object
              required: [name]
              additionalProperties: false
              properties:
                name: { type: string, description: "As `alpine:3.20` or `registry:5000/path@sha256:…`." }
                tags: { $ref: "#/components/schemas/TagSet" }
            ImageStatus:
              type: string
              enum: [pending, pulling, converting, ready, failed]
            Image:
              type: object
              required: [name, digest, status, created_at]
              additionalProperties: false
              properties:
                name: { type: string, description: Normalised, as `docker.io/library/alpine:latest`. }
                digest: { type: string, pattern: "^sha256:[0-9a-f]{64}$" }
                status: { $ref: "#/components/schemas/ImageStatus" }
                error: { type: string, description: Why it failed. }
                created_at: { type: string, format: date-time }
                entrypoint: { type: array, items: { type: string } }
                cmd: { type: array, items: { type: string } }
                env: { type: object, additionalProperties: { type: string } }
                working_dir: { type: string }
                size_bytes: { type: integer, description: Of the root disk. }
                tags: { $ref: "#/components/schemas/TagSet" }
            PruneImages:
              type: object
              additionalProperties: false
              properties:
                all: { type: boolean, default: false, description: Also ready images that no instance was made from. }
                dry_run: { type: boolean, default: false, description: Say what would go, and remove nothing. }
                filters:
                  type: array
                  description: |
                    Which images may go; all must hold. `until=24h` or `until=2026-01-31T00:00:00Z`: those that came before;
                    `label=NAME`, `label=NAME=VALUE`, `label!=NAME`, `label!=NAME=VALUE`: by the labels of their configuration.
                  items: { type: string }
            PrunedImages:
              type: object
              required: [dry_run, images, reclaimed_bytes]
              additionalProperties: false
              properties:
                dry_run: { type: boolean }
                reclaimed_bytes: { type: integer, description: Disk space that came or would come free. }
                images:
                  type: array
                  items:
                    type: object
                    required: [name, digest, status]
                    additionalProperties: false
                    properties:
                      name: { type: string }
                      digest: { type: string }
                      status: { $ref: "#/components/schemas/ImageStatus" }
            DiskUsageCategory:
              type: object
              required: [count, active, size_bytes, reclaimable_bytes]
              additionalProperties: false
              properties:
                count: { type: integer }
                active: { type: integer, description: How many are in use. }
                size_bytes: { type: integer }
                reclaimable_bytes: { type: integer }
            DiskUsage:
              type: object
              required: [images, downloads, overlays, volumes, logs, image_list, instance_list, volume_list]
              additionalProperties: false
              properties:
                images: { $ref: "#/components/schemas/DiskUsageCategory" }
                downloads: { $ref: "#/components/schemas/DiskUsageCategory" }
                overlays: { $ref: "#/components/schemas/DiskUsageCategory" }
                volumes: { $ref: "#/components/schemas/DiskUsageCategory" }
                logs: { $ref: "#/components/schemas/DiskUsageCategory" }
                image_limit_bytes: { type: integer, description: The most that images and downloads may take. }
                image_list:
                  type: array
                  items:
                    type: object
                    required: [name, digest, created_at, size_bytes, shared_bytes, unique_bytes, instances]
                    additionalProperties: false
                    properties:
                      name: { type: string }
                      digest: { type: string }
                      created_at: { type: string, format: date-time }
                      size_bytes: { type: integer, description: Of the root disk. }
                      shared_bytes: { type: integer, description: What would stay without this name. }
                      unique_bytes: { type: integer, description: What would go with this name. }
                      instances: { type: integer, description: How many were made from it. }
                instance_list:
                  type: array
                  items:
                    type: object
                    required: [instance_id, instance_name, state, overlay_bytes, log_bytes]
                    additionalProperties: false
                    properties:
                      instance_id: { type: string }
                      instance_name: { type: string }
                      state: { $ref: "#/components/schemas/InstanceState" }
                      overlay_bytes: { type: integer }
                      log_bytes: { type: integer }
                volume_list:
                  type: array
                  items:
                    type: object
                    required: [volume_id, volume_name, size_bytes, used_bytes, instances]
                    additionalProperties: false
                    properties:
                      volume_id: { type: string }
                      volume_name: { type: string }
                      size_bytes: { type: integer, description: What it can hold. }
                      used_bytes: { type: integer, description: What it takes of the host's disk. }
                      instances: { type: integer, description: How many have it. }
            ImageProgress:
              type: object
              required: [status, completed]
              additionalProperties: false
              properties:
                status: { $ref: "#/components/schemas/ImageStatus" }
                completed: { type: integer, description: Bytes that are here or read. }
                total: { type: integer, description: Of how many, where that is known. }
                error: { type: string, description: Why it failed. }
            InstanceState:
              type: string
              enum: [Created, Initializing, Running, Paused, Standby, Shutdown, Stopped, Unknown]
            Bandwidth:
              type: string
              description: |
                A whole number and `bps`, `kbps`, `Mbps` or `Gbps` (bits, decimal), or a size and `/s` (`2MB/s`: bytes, binary).
                Download is towards the instance, upload from it.
            PortMapping:
              type: object
              required: [host_port, guest_port]
              additionalProperties: false
              properties:
                host_port: { type: integer, minimum: 1, maximum: 65535, description: On every IPv4 address of the host. }
                guest_port: { type: integer, minimum: 1, maximum: 65535 }
                protocol: { type: string, enum: [tcp, udp], default: tcp }
            InstanceStats:
              type: object
              required:
                - instance_id
                - instance_name
                - cpu_seconds
                - memory_rss_bytes
                - memory_vms_bytes
                - network_rx_bytes
                - network_tx_bytes
                - allocated_vcpus
                - allocated_memory_bytes
              additionalProperties: false
              properties:
                instance_id: { type: string }
                instance_name: { type: string }
                cpu_seconds: { type: number, description: "Of the virtual machine's process, its own work included." }
                memory_rss_bytes: { type: integer }
                memory_vms_bytes: { type: integer }
                network_rx_bytes: { type: integer, description: Towards the instance. }
                network_tx_bytes: { type: integer, description: From the instance. }
                allocated_vcpus: { type: integer }
                allocated_memory_bytes: { type: integer }
                memory_utilization_ratio: { type: number, description: Resident memory by that promised. }
                disk_read_bytes: { type: integer, description: From all its disks; left out where nobody counts. }
                disk_write_bytes: { type: integer }
                disk_reads: { type: integer }
                disk_writes: { type: integer }
            ResourceStatus:
              type: object
              required: [type, capacity, effective_limit, allocated, available, oversub_ratio]
              additionalProperties: false
              properties:
                type: { type: string, enum: [cpu, memory, disk, network] }
                capacity: { type: integer, description: "Processors, bytes, or for the network bytes a second." }
                effective_limit: { type: integer, description: The capacity as often as it may be promised. }
                allocated: { type: integer }
                available: { type: integer, description: 0 where more was promised than the limit. }
                oversub_ratio: { type: number }
                source:
                  type: string
                  enum: [detected, configured, unknown]
                  description: |
                    `unknown` has the capacity 0 and means that nothing bounds it: the uplink has no speed of its own, as a
                    virtual one, and `NETWORK_LIMIT` is not set.
            Resources:
              type: object
              required: [cpu, memory, disk, network, allocations]
              additionalProperties: false
              properties:
                cpu: { $ref: "#/components/schemas/ResourceStatus" }
                memory: { $ref: "#/components/schemas/ResourceStatus" }
                disk: { $ref: "#/components/schemas/ResourceStatus" }
                network: { $ref: "#/components/schemas/ResourceStatus" }
                disk_breakdown:
                  type: object
                  additionalProperties: false
                  properties:
                    images_bytes: { type: integer }
                    overlays_bytes: { type: integer }
                    oci_cache_bytes: { type: integer }
                    volumes_bytes: { type: integer }
                allocations:
                  type: array
                  items:
                    type: object
                    required: [instance_id, instance_name, cpu, memory_bytes, disk_bytes]
                    additionalProperties: false
                    properties:
                      instance_id: { type: string }
                      instance_name: { type: string }
                      cpu: { type: integer }
                      memory_bytes: { type: integer }
                      disk_bytes: { type: integer }
                      network_download_bps: { type: integer, description: Bytes a second; left out without a limit. }
                      network_upload_bps: { type: integer, description: Bytes a second; left out without a limit. }
            CreateInstance:
              type: object
              required: [name, image]
              additionalProperties: false
              description: |
                The fields from `skip_guest_agent` on belong to the original API; this agent does not act on them and accepts only
                values that ask for nothing (501 otherwise).
              properties:
                name: { type: string, pattern: "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", maxLength: 63 }
                image: { type: string }
                size: { type: string, default: 1GB, description: Memory. }
                overlay_size: { type: string, default: 10GB, description: Room for what the instance writes. }
                vcpus: { type: integer, minimum: 1, default: 2 }
                env: { type: object, additionalProperties: { type: string } }
                entrypoint: { type: array, items: { type: string }, description: Replaces the image's. }
                cmd: { type: array, items: { type: string }, description: Replaces the image's. }
                user: { type: string, description: Replaces the image's. }
                working_dir: { type: string, description: Replaces the image's. }
                tags: { $ref: "#/components/schemas/TagSet" }
                tty: { type: boolean, default: false, description: "Give the program a terminal. This agent's own." }
                stdin_open:
                  type: boolean
                  default: false
                  description: Keep the program's stdin open for those who attach. This agent's own.
                hypervisor: { type: string, enum: [qemu, cloud-hypervisor, firecracker, vz] }
                network:
                  type: object
                  additionalProperties: false
                  properties:
                    enabled: { type: boolean, description: Whatever the agent offers, if left out. }
                    bandwidth_download: { $ref: "#/components/schemas/Bandwidth" }
                    bandwidth_upload: { $ref: "#/components/schemas/Bandwidth" }
                    ports:
                      type: array
                      maxItems: 256
                      description: What the host passes on to the instance; no two of them, and no two instances', are alike.
                      items: { $ref: "#/components/schemas/PortMapping" }
                    egress: { type: object, description: Not implemented; only what asks for nothing is accepted. }
                hotplug_size:
                  type: string
                  description: |
                    How much memory it can be given beyond `size` while it runs. `3GB`, which old clients always send, is cut to
                    what there is room for; any other is refused instead.
                max_vcpus:
                  type: integer
                  minimum: 1
                  description: The most vCPUs that it can be given while it runs; `vcpus` if left out. This agent's own.
                disk_io_bps:
                  type: string
                  description: "How fast its root and overlay disks are together, as `100MB/s`, at least `1MB/s`."
                restart_policy: { $ref: "#/components/schemas/RestartPolicy" }
                skip_guest_agent: { type: boolean }
                skip_kernel_headers: { type: boolean }
                auto_standby: { type: object }
                credentials: { type: object }
                devices: { type: array }
                expires_at: { type: string }
                gpu: { type: object }
                health_check: { type: object }
                platform: { type: string }
                snapshot_policy: { type: object }
                ttl: { type: string }
                volumes:
                  type: array
                  items: { $ref: "#/components/schemas/VolumeMount" }
            StartInstance:
              type: object
              additionalProperties: false
              properties:
                entrypoint: { type: array, items: { type: string } }
                cmd: { type: array, items: { type: string } }
            RestartPolicy:
              type: object
              description: When an instance is started again after its end. One that was stopped stays Stopped.
              additionalProperties: false
              properties:
                policy:
                  type: string
                  enum: [never, on_failure, always]
                backoff:
                  type: string
                  description: The pause before the first restart in a row, as 5s; it doubles with each, up to 5m.
                max_attempts:
                  type: integer
                  minimum: 0
                  description: How many restarts in a row there are at most; 0 is no limit.
                stable_after:
                  type: string
                  description: A run of this length ends the row, as 10m.
            UpdateInstance:
              type: object
              description: What is left out stays as it is.
              additionalProperties: false
              properties:
                restart_policy: { $ref: "#/components/schemas/RestartPolicy" }
                vcpus: { type: integer, minimum: 1, description: "This agent's own." }
                size: { type: string, description: "Memory, as `2GB`. This agent's own." }
                env: { type: object }
                auto_standby: { type: object }
                health_check: { type: object }
                ttl: { type: string }
                expires_at: { type: string }
            StandbyInstance:
              type: object
              description: Nothing of it is acted on.
              additionalProperties: false
              properties:
                compression: { type: object }
                compression_delay: { type: string }
            Event:
              type: object
              required: [sequence, time, kind, subject, attributes]
              additionalProperties: false
              properties:
                sequence: { type: integer, description: "From 1, without gaps." }
                time: { type: string, format: date-time }
                kind: { type: string, description: As instance.state. }
                subject: { type: string, description: "An instance's, a snapshot's or a volume's id, an image's name, or a network's id." }
                attributes: { type: object, additionalProperties: { type: string } }
            CreateSnapshot:
              type: object
              required: [kind]
              additionalProperties: false
              properties:
                kind: { type: string, enum: [Standby, Stopped] }
                name: { type: string, description: Another snapshot cannot have it. }
                tags: { type: object, additionalProperties: { type: string } }
                compression: { type: object }
            RestoreSnapshot:
              type: object
              additionalProperties: false
              properties:
                target_state:
                  type: string
                  enum: [Running, Standby, Stopped]
                  description: Running, or the snapshot's own kind, which is what it is without.
                target_hypervisor: { type: string }
            ForkInstance:
              type: object
              required: [name]
              additionalProperties: false
              properties:
                name: { type: string, description: Of the new instance. }
                from_running:
                  type: boolean
                  default: false
                  description: Whether a source that runs may be made to stand still meanwhile; without it, it is refused.
                target_state:
                  type: string
                  enum: [Running, Standby, Stopped]
                  description: What the source is without; Standby for one that is Paused.
                ports:
                  type: array
                  maxItems: 256
                  description: What the host passes on to the new instance. This agent's own.
                  items: { $ref: "#/components/schemas/PortMapping" }
            CommitInstance:
              type: object
              required: [image]
              additionalProperties: false
              properties:
                image: { type: string, description: "The new image's name, as `team/app:2`; without a digest." }
                tags:
                  type: object
                  additionalProperties: { type: string }
                  description: The new image's tags.
            ForkSnapshot:
              type: object
              required: [name]
              additionalProperties: false
              properties:
                name: { type: string, description: Of the new instance. }
                target_state:
                  type: string
                  enum: [Running, Standby, Stopped]
                  description: The snapshot's own kind without.
                target_hypervisor: { type: string }
                ports:
                  type: array
                  maxItems: 256
                  description: What the host passes on to the new instance. This agent's own.
                  items: { $ref: "#/components/schemas/PortMapping" }
            Snapshot:
              type: object
              required:
                - id
                - kind
                - source_instance_id
                - source_instance_name
                - size_bytes
                - compression_state
                - created_at
              additionalProperties: false
              properties:
                id: { type: string }
                name: { type: string }
                kind: { type: string, enum: [Standby, Stopped] }
                source_instance_id: { type: string }
                source_instance_name: { type: string, description: What the instance was called at the time. }
                source_hypervisor: { type: string }
                size_bytes: { type: integer, description: What it takes of the host's disk. }
                compression_state: { type: string, enum: [none] }
                tags: { type: object, additionalProperties: { type: string } }
                created_at: { type: string, format: date-time }
            CreateVolume:
              type: object
              required: [name, size_gb]
              additionalProperties: false
              properties:
                name: { type: string, pattern: "^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$" }
                size_gb: { type: integer, minimum: 1, description: In GiB. }
                id: { type: string, pattern: "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", maxLength: 63 }
                tags: { $ref: "#/components/schemas/TagSet" }
            UpdateVolume:
              type: object
              required: [size_gb]
              additionalProperties: false
              properties:
                size_gb: { type: integer, minimum: 1, description: "In GiB, no less than it has." }
            AttachVolume:
              type: object
              required: [mount_path]
              additionalProperties: false
              properties:
                mount_path: { type: string }
                readonly: { type: boolean }
            VolumeMount:
              type: object
              required: [volume_id, mount_path]
              additionalProperties: false
              properties:
                volume_id: { type: string, description: "In requests also its name." }
                mount_path:
                  type: string
                  description: |
                    Absolute; not /, /etc or /run themselves, nor in /proc, /sys, /dev, /run/systemd or /run/hypeman, nor in
                    another volume of the instance.
                readonly: { type: boolean, description: A volume is read-write in one instance or read-only in many. }
                overlay:
                  type: boolean
                  description: A disk of the instance's own takes what is written; readonly is true then.
                overlay_size: { type: string, description: "Of that disk, as 10GB." }
            Volume:
              type: object
              required: [id, name, size_gb, created_at]
              additionalProperties: false
              properties:
                id: { type: string }
                name: { type: string }
                size_gb: { type: integer, description: In GiB. }
                tags: { $ref: "#/components/schemas/TagSet" }
                created_at: { type: string, format: date-time }
                attachments:
                  type: array
                  description: The instances that have it, in whatever state they are.
                  items:
                    type: object
                    required: [instance_id, instance_name, mount_path, readonly]
                    additionalProperties: false
                    properties:
                      instance_id: { type: string }
                      instance_name: { type: string }
                      mount_path: { type: string }
                      readonly: { type: boolean }
            StopInstance:
              type: object
              additionalProperties: false
              properties:
                timeout: { type: string, default: 10s, description: What the program gets after its stop signal. }
                host_shutdown:
                  type: boolean
                  default: false
                  description: |
                    The host is about to go down. What is wanted of the instance stays as it is: its restart policy brings it back
                    with the agent's next start.
            Instance:
              type: object
              required:
                - id
                - name
                - image
                - state
                - size
                - hotplug_size
                - overlay_size
                - vcpus
                - network
                - has_snapshot
                - created_at
              additionalProperties: false
              properties:
                id: { type: string, pattern: "^[a-z][a-z0-9]{23}$" }
                name: { type: string }
                image: { type: string }
                state: { $ref: "#/components/schemas/InstanceState" }
                state_error: { type: string, description: What went wrong last. }
                size: { type: string, description: As `1024.0 MB`. }
                hotplug_size: { type: string, description: What it can be given beyond `size` while it runs. }
                overlay_size: { type: string }
                vcpus: { type: integer }
                max_vcpus: { type: integer, description: The most that it can be given while it runs; left out where it is `vcpus`. }
                disk_io_bps: { type: string, description: As `100MB/s`; left out without a limit. }
                env: { type: object, additionalProperties: { type: string } }
                entrypoint: { type: array, items: { type: string } }
                cmd: { type: array, items: { type: string } }
                user: { type: string }
                working_dir: { type: string }
                tags: { $ref: "#/components/schemas/TagSet" }
                network:
                  type: object
                  required: [enabled]
                  additionalProperties: false
                  properties:
                    enabled: { type: boolean }
                    name: { type: string }
                    ip: { type: string, description: "Its own until it is deleted, also while it is stopped." }
                    mac: { type: string }
                    bandwidth_download: { $ref: "#/components/schemas/Bandwidth" }
                    bandwidth_upload: { $ref: "#/components/schemas/Bandwidth" }
                    ports: { type: array, items: { $ref: "#/components/schemas/PortMapping" } }
                tty: { type: boolean, description: Whether the program has a terminal. }
                stdin_open: { type: boolean, description: Whether the program's stdin is open for those who attach. }
                hypervisor: { type: string }
                volumes: { type: array, items: { $ref: "#/components/schemas/VolumeMount" } }
                has_snapshot:
                  type: boolean
                  description: Whether its memory is on disk.
                restart_policy: { $ref: "#/components/schemas/RestartPolicy" }
                restarts:
                  type: integer
                  description: How often in a row it was started again by its policy.
                next_restart_at:
                  type: string
                  format: date-time
                  description: When it is started again by its policy.
                created_at: { type: string, format: date-time }
                started_at: { type: string, format: date-time }
                stopped_at: { type: string, format: date-time }
                exit_code: { type: integer, description: "The program's exit code, or 128 and its signal." }
                exit_message: { type: string }
                exit_reason:
                  type: string
                  enum: [exited, signalled, stopped, killed, startFailed, machineDied, outOfMemory, hostShutdown]
                phase_durations_ms:
                  type: object
                  description: How long the phases of the last start took.
                  additionalProperties: { type: integer }
            Wait:
              type: object
              required: [state, timed_out]
              additionalProperties: false
              properties:
                state: { $ref: "#/components/schemas/InstanceState" }
                state_error: { type: string }
                timed_out: { type: boolean }
                exit_code: { type: integer }
                exit_message: { type: string }
            LogRecord:
              type: object
              required: [time, stream, partial]
              additionalProperties: false
              properties:
                time: { type: string, format: date-time }
                stream: { type: string, enum: [stdout, stderr] }
                text: { type: string }
                base64: { type: string, description: Instead of text where the bytes are none. }
                partial: { type: boolean, description: Whether more of the same line follows. }
            Exec:
              type: object
              additionalProperties: false
              properties:
                command: { type: array, items: { type: string }, description: A shell where it is empty. }
                tty: { type: boolean, default: false }
                rows: { type: integer, minimum: 1, maximum: 65535 }
                cols: { type: integer, minimum: 1, maximum: 65535 }
                env: { type: object, additionalProperties: { type: string } }
                cwd: { type: string }
                user: { type: string }
                stdin: { type: boolean, default: true }
                timeout: { type: integer, description: Seconds after which the command is killed; 0 for never. }
                wait_for_agent: { type: integer, description: Seconds to wait for an instance that is starting. }
            PathInfo:
              type: object
              required: [exists, is_dir, is_file, is_symlink, mode, size]
              additionalProperties: false
              properties:
                type: { type: string, enum: [stat], description: Over a WebSocket only. }
                exists: { type: boolean }
                is_dir: { type: boolean }
                is_file: { type: boolean }
                is_symlink: { type: boolean }
                link_target: { type: string }
                mode: { type: integer, description: "Permission, setuid, setgid and sticky bits." }
                size: { type: integer, description: In bytes. }
                error: { type: string, description: Why it cannot be said what is there. }
                real_path: { type: string, description: The path without links. }
            Copy:
              type: object
              required: [direction, guest_path]
              additionalProperties: false
              properties:
                direction: { type: string, enum: [to, from, stat] }
                guest_path: { type: string, description: Absolute. }
                is_dir: { type: boolean, default: false, description: Make a directory. }
                mode: { type: integer, minimum: 0, maximum: 4095, description: "0 and nothing are 0644, and 0755 for a directory." }
                follow_links: { type: boolean, default: false, description: Whether a symbolic link at the path stands for its target. }
                src_basename: { type: string, description: "The name of a file that goes into a directory, if that is what `guest_path` is." }
                uid: { type: integer, default: 0 }
                gid: { type: integer, default: 0 }
                name: { type: string, description: What the path is called in an archive; its own name if it is left out. }
                archive: { type: boolean, default: false, description: "Keep an archive's owners, and setuid and setgid bits with them." }
                wait_for_agent: { type: integer, description: Seconds to wait for an instance that is starting. }
            CopyHeader:
              type: object
              required: [type, path, mode, is_dir, is_symlink, size, mtime, uid, gid]
              additionalProperties: false
              properties:
                type: { type: string, enum: [header] }
                path: { type: string, description: Relative; it begins with the name of what was asked for. }
                mode: { type: integer }
                is_dir: { type: boolean }
                is_symlink: { type: boolean }
                link_target: { type: string }
                size: { type: integer }
                mtime: { type: integer, description: Seconds since 1970. }
                uid: { type: integer }
                gid: { type: integer }
            CopyOutcome:
              type: object
              required: [type]
              additionalProperties: false
              properties:
                type: { type: string, enum: [result, end, error] }
                success: { type: boolean }
                error: { type: string, description: Of a result that is none. }
                bytes_written: { type: integer }
                final: { type: boolean }
                code: { type: string }
                message: { type: string }
                path: { type: string }
                warnings: { type: array, items: { type: string }, description: The first things that were left out. }
            Attach:
              type: object
              additionalProperties: false
              properties:
                rows: { type: integer, minimum: 1, maximum: 65535 }
                cols: { type: integer, minimum: 1, maximum: 65535 }
                wait_for_agent: { type: integer, description: Seconds to wait for an instance that is starting. }
            ExecOutcome:
              type: object
              required: [type]
              additionalProperties: false
              properties:
                type: { type: string, enum: [exit, error] }
                exit_code: { type: integer }
                signal: { type: integer }
                code: { type: string }
                message: { type: string }

        """###
}
