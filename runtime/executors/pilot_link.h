// pilot_link.h - bytes between a driver and one of its pilots: over files both see, or over TCP.
// Unaware of Slurm and of messages. Belongs to the thread that runs its io_context.
// Design: runtime/executors/README.md
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace stook::detail {

class PilotPort;

class PilotLink {
 public:
  using Heard = std::function<void(std::span<const std::byte>)>;
  using Broken = std::function<void()>;

  virtual ~PilotLink() = default;
  // Puts what the pilot needs to find its driver into `directory`. `broken`: it is connected no
  // more. Throws ExecutorError.
  virtual void open(const std::filesystem::path& directory, Heard heard, Broken broken) = 0;
  virtual void write(const std::vector<std::byte>& bytes) = 0;
  // What the pilot has said and has not been heard yet.
  virtual void hear_rest() = 0;
  // Nothing is told any more; a pilot that still lives sees that nobody wants it.
  virtual void close() = 0;
  // What may have kept a pilot from being heard at all; empty: nothing to say.
  [[nodiscard]] virtual std::string hint() const = 0;
};

using PilotLinks = std::function<std::shared_ptr<PilotLink>()>;

// Two files that only grow, in the pilot's directory.
[[nodiscard]] PilotLinks file_links(boost::asio::io_context& context);
// Pilots connect to the port, which somebody else closes.
[[nodiscard]] PilotLinks tcp_links(boost::asio::io_context& context,
                                   std::shared_ptr<PilotPort> port);

}  // namespace stook::detail
