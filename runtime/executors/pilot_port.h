// pilot_port.h - the port at which pilots connect to their driver. Whoever connects first says a
// token; who says a wrong one, or none in time, is shut out and costs next to nothing until then.
// Unaware of what is said after that. Belongs to the thread that runs its io_context.
// Design: runtime/executors/README.md
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

namespace stook::detail {

class PilotPort : public std::enable_shared_from_this<PilotPort> {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using Token = std::array<std::byte, 16>;
  struct Limits {
    std::chrono::milliseconds token_within{5000};
    std::size_t strangers = 64;  // connections without a token yet; one more, and the oldest goes
  };

  // Listens at a free port of `address`, a name or a number; empty: the host's name.
  // Throws ExecutorError.
  [[nodiscard]] static std::shared_ptr<PilotPort> open(boost::asio::io_context& context,
                                                       const std::string& address, Limits limits);

  [[nodiscard]] std::string address() const { return at_.address().to_string(); }
  [[nodiscard]] unsigned short port() const { return at_.port(); }

  // A new token; the first connection that says it is `came`'s, all others are shut out.
  [[nodiscard]] Token expect(std::function<void(Socket&&)> came);
  void forget(const Token& token);
  void close();

  // --- For tests
  [[nodiscard]] std::size_t strangers() const { return strangers_.size(); }

 private:
  struct Stranger;
  struct Expected {
    Token token;
    std::function<void(Socket&&)> came;
  };
  PilotPort(boost::asio::io_context& context, Limits limits);
  void accept();
  void greet(Socket&& socket);
  void hear(const std::shared_ptr<Stranger>& stranger);

  boost::asio::io_context& context_;
  const Limits limits_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::ip::tcp::endpoint at_;
  boost::asio::steady_timer pause_;
  std::vector<Expected> expected_;
  std::list<std::shared_ptr<Stranger>> strangers_;  // the oldest first
};

}  // namespace stook::detail
