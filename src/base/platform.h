// What only the operating system knows. One file per platform.
#pragma once

#include <spawn.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rapid {

size_t peak_rss_bytes();
size_t current_rss_bytes();
size_t file_rss_bytes();  // of current_rss_bytes(), backed by files; 0 on a Mac
size_t total_memory_bytes();
// What the process may use: the machine's, or less by its control groups.
size_t memory_limit_bytes();
// Of those, what nobody uses now: of the machine's, and of what the control
// groups leave.
size_t available_memory_bytes();
std::string chip_name();  // "Apple M3 Ultra", "AMD EPYC ..."; "" if unknown
// Gives freed memory back that the allocator keeps; takes milliseconds.
void release_free_memory();
// Zeroed memory from the system, at a border of 2 MiB and in pages of that size
// where it has them; not resident before it is written. Null: there is none.
// `bytes` is a multiple of 64 KiB.
void* map_memory(size_t bytes);
void unmap_memory(void* memory, size_t bytes);
// What pages hold of [memory, memory + bytes) is no longer needed; they stay
// mapped. Only whole pages.
void drop_memory(void* memory, size_t bytes);
std::string program_path();  // of this process's own file; "" if unknown
// What starts the program that runs, even if its file was replaced since.
std::string program_itself();
// A child will have none of this process's files from `first` on, whatever
// their flags are. `flags`: for posix_spawnattr_setflags.
void close_files_in_child(
    posix_spawn_file_actions_t& actions, short& flags, int first);
// send() to a socket without SIGPIPE; what send() returns.
long send_quietly(int socket, std::string_view bytes);

// Sockets that the system's service manager listens on for this process:
// systemd's LISTEN_FDS, launchd's sockets of the name "Listeners". Once.
std::vector<int> inherited_sockets();

}  // namespace rapid
