-- The arithmetic of infra/rate_limits/gcra.py in one call: all keys are taken from, or none is.
-- KEYS: one for each limit. ARGV: the time in microseconds ('' for the server's own), then for each key the
-- interval in microseconds, the burst and the cost.
-- Answers for each key: allowed (1 or 0), remaining, microseconds to wait, microseconds until all is there.
-- Microseconds since 1970 are whole numbers below 2^53: a double holds them exactly.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local stored = redis.call('MGET', unpack(KEYS))
local arrivals, waits, granted = {}, {}, true
for i = 1, #KEYS do
  local interval, burst, cost = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local arrival = stored[i] and tonumber(stored[i]) or now
  if arrival < now or arrival > now + interval * burst then
    arrival = now
  end
  arrivals[i] = arrival
  waits[i] = arrivals[i] + cost * interval - interval * burst - now
  granted = granted and waits[i] <= 0
end

local answer = {}
for i = 1, #KEYS do
  local interval, burst, cost = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local arrival = arrivals[i]
  if granted then
    arrival = arrival + cost * interval
    -- A moment that has passed says the same as none at all. Not tostring: it keeps 14 digits.
    local kept_ms = math.ceil((arrival - now) / 1000)
    redis.call('SET', KEYS[i], string.format('%.0f', arrival), 'PX', string.format('%.0f', kept_ms))
  end
  answer[#answer + 1] = waits[i] <= 0 and 1 or 0
  answer[#answer + 1] = math.floor((now + interval * burst - arrival) / interval)
  answer[#answer + 1] = math.max(0, waits[i])
  answer[#answer + 1] = arrival - now
end
return answer
