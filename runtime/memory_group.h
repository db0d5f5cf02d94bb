// memory_group.h - a control group of the kernel's: a limit on the memory of a process and of all
// it starts, together. Where such groups cannot be made (most users, most containers) there is
// none. Version 2 and version 1. Thread-safe: no state but the kernel's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

namespace stook::detail {

class MemoryGroup {
 public:
  // Moves this process into a new group. Null: there are none here. `stem`: of this process's files
  // in the spool; the group is named after it.
  static std::unique_ptr<MemoryGroup> enter(const std::filesystem::path& stem);
  ~MemoryGroup();  // moves it back
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;

  // So many bytes more than are used now; the kernel kills who wants more. 0: no limit.
  void allow(std::uint64_t more) const;
  // How many processes of the group were killed for its memory.
  [[nodiscard]] std::uint64_t kills() const;

  // Of a process of this machine that has ended in its group without moving back: was something in
  // it killed for its memory? The group is removed. False too where it had none.
  static bool settle(const std::filesystem::path& stem);

 private:
  struct Place;
  MemoryGroup(const Place& place, std::filesystem::path path);
  static const Place& place();

  const Place& place_;
  const std::filesystem::path path_;
};

}  // namespace stook::detail
