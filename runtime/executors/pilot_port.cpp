#include "runtime/executors/pilot_port.h"

#include <sys/random.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <algorithm>

#include "src/mutant.h"
#include "src/os.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// As long for equal tokens as for others: how long it takes says nothing.
bool same(const PilotPort::Token& a, const PilotPort::Token& b) {
  unsigned different = 0;
  for (std::size_t i = 0; i < a.size(); ++i) different |= std::to_integer<unsigned>(a[i] ^ b[i]);
  return STOOK_MUTANT("check-token") || different == 0;
}

// The first address that other hosts may reach, else the first.
tcp::endpoint endpoint_of(asio::io_context& context, const std::string& address) {
  const std::string name = address.empty() ? os_host_name() : address;
  error_code error;
  const auto found = tcp::resolver(context).resolve(name, "", error);
  if (error || found.empty()) {
    throw ExecutorError("find the address of '" + name + "', at which pilots are to connect: " +
                        error.message() + "; --slurm-address says another");
  }
  for (const auto& entry : found) {
    if (!entry.endpoint().address().is_loopback()) return {entry.endpoint().address(), 0};
  }
  return {found.begin()->endpoint().address(), 0};
}

}  // namespace

struct PilotPort::Stranger {
  Stranger(Socket&& from, asio::io_context& context) : socket(std::move(from)), timer(context) {}
  Socket socket;
  asio::steady_timer timer;
  Token said{};
};

PilotPort::PilotPort(asio::io_context& context, Limits limits)
    : context_(context), limits_(limits), acceptor_(context), pause_(context) {}

std::shared_ptr<PilotPort> PilotPort::open(asio::io_context& context, const std::string& address,
                                           Limits limits) {
  std::shared_ptr<PilotPort> port(new PilotPort(context, limits));
  const tcp::endpoint at = endpoint_of(context, address);
  try {
    port->acceptor_.open(at.protocol());
    port->acceptor_.bind(at);
    port->acceptor_.listen();
    port->at_ = port->acceptor_.local_endpoint();
  } catch (const boost::system::system_error& error) {
    throw ExecutorError("listen for pilots at " + at.address().to_string() + ": " +
                        error.code().message() + "; --slurm-address says another");
  }
  port->accept();
  return port;
}

PilotPort::Token PilotPort::expect(std::function<void(Socket&&)> came) {
  Token token;
  if (::getrandom(token.data(), token.size(), 0) != static_cast<ssize_t>(token.size())) {
    throw ExecutorError("the system gives no random bits for a pilot's token");
  }
  expected_.push_back({token, std::move(came)});
  return token;
}

void PilotPort::forget(const Token& token) {
  std::erase_if(expected_, [&](const Expected& one) { return one.token == token; });
}

void PilotPort::close() {
  error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
  for (const auto& stranger : strangers_) {
    stranger->socket.close(ignored);
    stranger->timer.cancel();
  }
  strangers_.clear();
}

void PilotPort::accept() {
  acceptor_.async_accept([self = shared_from_this()](error_code error, Socket socket) {
    if (!self->acceptor_.is_open()) return;
    if (!error) {
      self->greet(std::move(socket));
      return self->accept();
    }
    // No descriptor is left, or the like: those who wait stay in the queue of the port.
    self->pause_.expires_after(std::chrono::seconds(1));
    self->pause_.async_wait([self](error_code cancelled) {
      if (!cancelled) self->accept();
    });
  });
}

void PilotPort::greet(Socket&& socket) {
  if (!STOOK_MUTANT("most-strangers") && strangers_.size() >= limits_.strangers) {
    error_code ignored;
    strangers_.front()->socket.close(ignored);
    strangers_.pop_front();
  }
  const auto stranger = std::make_shared<Stranger>(std::move(socket), context_);
  strangers_.push_back(stranger);
  stranger->timer.expires_after(limits_.token_within);
  stranger->timer.async_wait([stranger](error_code cancelled) {
    error_code ignored;
    if (!cancelled) stranger->socket.close(ignored);
  });
  asio::async_read(stranger->socket, asio::buffer(stranger->said),
                   [self = shared_from_this(), stranger](error_code error, std::size_t) {
                     stranger->timer.cancel();
                     self->strangers_.remove(stranger);
                     if (!error) self->hear(stranger);
                   });
}

void PilotPort::hear(const std::shared_ptr<Stranger>& stranger) {
  auto known = expected_.end();
  for (auto one = expected_.begin(); one != expected_.end(); ++one) {
    if (same(one->token, stranger->said)) known = one;
  }
  if (known == expected_.end()) return;  // with the stranger goes the connection
  const auto came = std::move(known->came);
  expected_.erase(known);
  came(std::move(stranger->socket));
}

}  // namespace stook::detail
