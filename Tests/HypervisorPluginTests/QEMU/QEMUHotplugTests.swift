import AgentCore
import AgentTestSupport
import Foundation
import GuestProtocol
import SystemPackage
import Testing

@testable import HypervisorPlugin

/// What a real guest sees of disks that are plugged in while it runs.
@Suite(.serialized) struct QEMUHotplugTests {
    @Test func theGuestReadsADiskThatWasPluggedInAlsoAfterARestore() async throws {
        try await LiveGuest.with { guest in
            let disk = try guest.disk("vol-1", slot: 3)
            try await guest.machine.attach(disk)
            #expect(try await guest.firstLine(of: "vol-1") == "vol-1 is here")
            try await guest.restart(with: [disk])
            #expect(try await guest.firstLine(of: "vol-1") == "vol-1 is here")
            try await guest.machine.detach(disk)
            #expect(try await guest.run(["sh", "-c", "cat /sys/block/*/serial"]).contains("vol-1") == false)
            // Its file is free.
            try await end(try await guest.anotherMachine(with: disk))
        }
    }

    @Test func aDiskInUseElsewhereIsRefusedAndLeavesItsPlaceFree() async throws {
        try await LiveGuest.with { guest in
            let disk = try guest.disk("vol-1", slot: 0)
            let other = try await guest.anotherMachine(with: disk)
            let error = await #expect(throws: AgentError.self) { try await guest.machine.attach(disk) }
            #expect(error?.code == "disk_in_use", "\(String(describing: error))")
            try await end(other)
            try await guest.machine.attach(disk)
            let second = try guest.disk("vol-2", slot: 0)
            let taken = await #expect(throws: AgentError.self) { try await guest.machine.attach(second) }
            #expect(taken?.kind == .alreadyExists)
            // What was refused holds no file.
            try await end(try await guest.anotherMachine(with: second))
        }
    }

    @Test func anotherLifeOfTheAgentTakesOutWhatTheOneBeforePluggedIn() async throws {
        try await LiveGuest.with { guest in
            let disk = try guest.disk("vol-1", slot: 0)
            try await guest.machine.attach(disk)
            try await guest.adopt()
            #expect(try await guest.firstLine(of: "vol-1") == "vol-1 is here")
            let again = try guest.disk("vol-1", slot: 1)
            let error = await #expect(throws: AgentError.self) { try await guest.machine.attach(again) }
            #expect(error?.kind == .alreadyExists)
            try await guest.machine.detach(disk)
            try await guest.machine.attach(again)
        }
    }

    @Test func aGuestThatDoesNotLetGoIsATimeoutAndLetsGoLater() async throws {
        try await LiveGuest.with { guest in
            let disk = try guest.disk("vol-1", slot: 0)
            try await guest.machine.attach(disk)
            _ = try await guest.firstLine(of: "vol-1")
            try await guest.machine.pause()
            let error = await #expect(throws: AgentError.self) { try await guest.machine.detach(disk) }
            #expect(error?.kind == .timeout)
            try await guest.machine.resume()
            try await guest.machine.detach(disk)
            try await guest.machine.attach(disk)
        }
    }

    @Test func aCardIsPluggedInAndItsTAPIsFreeAfterwards() async throws {
        let tap = "hyp\(UUID().uuidString.prefix(8).lowercased())"
        try await tool("ip", ["tuntap", "add", "dev", tap, "mode", "tap"])
        do {
            try await LiveGuest.with { guest in
                let mac = try #require(MACAddress("02:00:00:00:00:07"))
                let card = MachineDescription.Card(tap: tap, mac: mac, mtu: 1400, slot: 5)
                let cards = ["sh", "-c", "for d in /sys/bus/pci/devices/*/device; do read -r i <$d; echo $i; done"]
                for _ in 0..<2 {
                    try await guest.machine.attach(card)
                    let error = await #expect(throws: AgentError.self) { try await guest.machine.attach(card) }
                    #expect(error?.kind == .alreadyExists)
                    try await guest.settle("a card") { try await guest.run(cards).contains("0x1041") }
                    // A TAP device of one queue is opened once.
                    await #expect(throws: (any Error).self) { try await guest.anotherMachine(with: [], card: card) }
                    for _ in 0..<2 { try await guest.machine.detachCard() }
                    #expect(try await guest.run(cards).contains("0x1041") == false)
                }
                try await end(try await guest.anotherMachine(with: [], card: card))
                try await guest.machine.attach(card)
            }
        } catch {
            try await tool("ip", ["link", "del", tap])
            throw error
        }
        try await tool("ip", ["link", "del", tap])
    }
}
