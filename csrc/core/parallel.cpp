#include "core/parallel.hpp"

#include <algorithm>
#include <system_error>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace pyncnnq {

size_t available_cores() {
#ifdef __linux__
    // A machine with more cores than a cpu_set_t has room for makes this fail.
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return static_cast<size_t>(CPU_COUNT(&allowed));
#endif
    return std::max(1u, std::thread::hardware_concurrency());
}

void run_on_cores(size_t most, const std::function<void()>& work) {
    const size_t count = std::min(most, available_cores());
    std::vector<std::thread> threads;
    try {
        while (threads.size() + 1 < count) threads.emplace_back(work);
    } catch (const std::system_error&) {
        // The system has no more threads: those that run do the work.
    }
    work();
    for (std::thread& thread : threads) thread.join();
}

}  // namespace pyncnnq
