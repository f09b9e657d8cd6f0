"""AIP-Trust v1 a second time, from specs/trust.md, event.md, identity.md and entry.md, and from no code.

Reads lines of JSON, each a log and what is asked about it; writes a line for each:

    {"origin", "size", "entries": [[index, leaf], …], "target", "time", "scope", "decay", "maxHops", "floor",
     "threshold", "minPaths", "roots": [{"did", "weight"}], "paths": [{"root", "steps": [{"scope", "to"}]}]}
    {"best": path or null, "broken": [index of each entry that counts for nothing], "verdict": …}

Forms and signatures are taken for good: the order of leaves, states, references and all arithmetic are
checked here. Standard library only.
"""

import base64
import hashlib
import json
import sys

DAY = 86_400_000
YEAR = 365 * DAY
ONE = 1_000_000
SCOPES = ["GENERAL", "CODE_SIGNING", "FINANCIAL", "INFORMATION", "IDENTITY"]
WEIGHTS = {"ULTIMATE": 100, "STRONG": 100, "MODERATE": 75, "WEAK": 50}


def dumps(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def key_hash(key):
    return sha256(base64.b64decode(key))


def did_of(key):
    return "did:aip:" + key_hash(key)[:32]


class Broken(Exception):
    """An entry that counts for nothing."""


def require(holds):
    if not holds:
        raise Broken


class State:
    """specs/identity.md, "Whose key it is"."""

    def __init__(self, did, index, event):
        self.did = did
        self.status = "active"
        self.inception = index
        self.keys = [event["key"]]
        self.next = event["nextKey"]
        self.recovery = event["recoveryKey"]
        self.capabilities = event["capabilities"]
        self.events = 1
        self.last = None
        self.windows = []
        self.since = None

    def void(self, index):
        return any(since <= index and (until is None or index < until) for since, until in self.windows)

    def answers_for(self, index):
        return not self.void(index) and (self.since is None or index > self.since)

    def apply(self, name, event, signers, index, event_hash):
        require(self.status != "deactivated")
        require(name != "inception")
        by = [key_hash(key) for key in signers]
        by_recovery = name != "rotation" and by[0] == self.recovery
        require(self.status == "active" or by_recovery)
        require(event["sequence"] == self.events and event["previous"] == self.last)
        require(self.events < (240 if name == "rotation" else 256 if by_recovery else 248))
        current = self.keys[-1]
        if name == "rotation":
            require(key_hash(event["key"]) == self.next)
            require(signers == [current, event["key"]])
            self.new_key(event, self.recovery)
        elif name == "recovery":
            require(len(by) == 2 and by[0] == self.recovery and signers[1] == event["key"])
            require(self.inception <= event["since"]["index"] <= index)
            self.new_key(event, event["recoveryKey"])
            self.status = "active"
            self.windows = [(since, index if until is None else until) for since, until in self.windows]
            self.windows.append((event["since"]["index"], index))
            self.since = index
        elif name == "compromise":
            require(by in ([self.recovery], [self.next]))
            require(self.inception <= event["since"]["index"] <= index)
            self.status = "compromised"
            self.windows.append((event["since"]["index"], None))
        elif name == "deactivation":
            require(by in ([self.recovery], [key_hash(current), self.next]))
            self.status = "deactivated"
        else:
            raise Broken
        self.events += 1
        self.last = event_hash

    def new_key(self, event, recovery):
        require(event["key"] not in self.keys)
        require(len({key_hash(event["key"]), event["nextKey"], recovery}) == 3)
        self.keys.append(event["key"])
        self.next = event["nextKey"]
        self.recovery = recovery
        self.capabilities = event["capabilities"]

    def may(self, key, capability):
        require(self.status == "active" and key == self.keys[-1] and capability in self.capabilities)


class Log:
    """The entries of a log that count."""

    def __init__(self, origin):
        self.origin = origin
        self.seen = set()
        self.states = {}
        self.artifacts = {}
        self.said = {}
        self.negatives = {}
        self.confirmations = {}
        self.open = {}

    def push(self, index, leaf):
        entry = json.loads(leaf)
        kind = (entry["kind"], entry["apiVersion"])
        if kind == ("dsse", "0.0.1"):
            self.artifact(index, entry)
        elif kind == ("aip-event", "1"):
            self.event(index, entry)

    def first(self, origin, pending):
        require(origin == self.origin)
        digest = sha256(dumps(pending).encode())
        require(digest not in self.seen)
        return digest

    def artifact(self, index, entry):
        aip = entry["spec"]["aip"]
        logged_at = aip.pop("loggedAt")
        aip.pop("signature")
        digest = self.first(aip["origin"], entry)
        pem = base64.b64decode(entry["spec"]["signatures"][0]["verifier"]).decode()
        key = base64.b64encode(base64.b64decode(pem.split("\n")[1])[-32:]).decode()
        if aip["did"] in self.states:
            self.states[aip["did"]].may(key, "receipts")
        else:
            require(did_of(key) == aip["did"])
        self.seen.add(digest)
        subjects = aip.get("subjects")
        if subjects is not None:
            subjects = [base64.b64decode(subject).hex() for subject in subjects]
        payload = entry["spec"]["payloadHash"]["value"]
        self.artifacts[index] = (aip["did"], logged_at, subjects, payload)

    def event(self, index, entry):
        spec = entry["spec"]
        logged_at = spec.pop("loggedAt")
        digest = self.first(spec["origin"], entry)
        statement = json.loads(base64.b64decode(spec["envelope"]["payload"]))
        name = statement["predicateType"].split("/")[-2]
        event = statement["predicate"]
        issuer, subject = spec["did"], statement["subject"][0]["name"]
        state = self.states.get(issuer)
        if "sequence" in event or name == "inception":
            if state is None:
                require(name == "inception")
                require(did_of(event["key"]) == issuer and spec["keys"] == [event["key"]])
                state = self.states[issuer] = State(issuer, index, event)
                state.last = digest
            else:
                state.apply(name, event, spec["keys"], index, digest)
        else:
            require(state is not None and len(spec["keys"]) == 1)
            state.may(spec["keys"][0], "vouches" if "scope" in event else "receipts")
            self.trust(index, logged_at, name, issuer, subject, event)
        self.seen.add(digest)

    def referred(self, reference, index, did):
        require(reference["index"] < index and reference["index"] in self.artifacts)
        artifact = self.artifacts[reference["index"]]
        require(artifact[0] == did)
        return artifact

    def trust(self, index, logged_at, name, issuer, subject, event):
        pair = (issuer, subject)
        if name in ("vouch", "revocation", "distrust"):
            self.said[pair + (event["scope"],)] = (index, logged_at, name, event)
        elif name == "confirmation":
            for reference, did in ((event["receipt"], subject), (event["build"], issuer)):
                _, _, subjects, _ = self.referred(reference, index, did)
                require(subjects is not None and event["artifact"] in subjects)
            confirmation = (index, logged_at, event["receipt"]["index"], event["build"]["index"])
            self.confirmations.setdefault(subject, {}).setdefault(issuer, []).append(confirmation)
        elif name == "failure":
            require(pair not in self.open)
            self.open[pair] = index
            self.negatives.setdefault(subject, []).append((index, logged_at, issuer, name, event))
        elif name == "withdrawal":
            require(self.open.get(pair) == event["failure"]["index"])
            del self.open[pair]
            self.negatives.setdefault(subject, []).append((index, logged_at, issuer, name, event))
        elif name == "equivocation":
            for reference, statement in zip(event["receipts"], event["statements"]):
                _, _, subjects, payload = self.referred(reference, index, subject)
                require(subjects is not None and payload == sha256(base64.b64decode(statement)))
                require(subject not in self.states or self.states[subject].answers_for(reference["index"]))
            self.negatives.setdefault(subject, []).append((index, logged_at, issuer, name, event))


def week(millis):
    return (millis // DAY + 3) // 7


class Judge:
    """specs/trust.md."""

    def __init__(self, log, question):
        self.log = log
        self.ask = question
        self.target = question["target"]
        self.now = question["time"]
        self.roots = {root["did"]: root["weight"] for root in question["roots"]}
        self.bans = {}
        for (issuer, subject, scope), (index, _, name, _) in log.said.items():
            if issuer in self.roots and name == "distrust" and self.matches(scope) and self.counts(issuer, index):
                by = self.bans.setdefault(subject, {})
                by[issuer] = min(index, by.get(issuer, index))

    def matches(self, scope):
        return self.ask["scope"] in ("ANY", scope) or scope == "GENERAL"

    def status(self, did):
        return self.log.states[did].status if did in self.log.states else "unregistered"

    def counts(self, issuer, index):
        """E2 for the issuer, and E5."""
        return self.status(issuer) != "deactivated" and not self.log.states[issuer].void(index)

    def broken(self, issuer, subject, scope):
        """Why this is no edge; None if it is one."""
        if (issuer, subject, scope) not in self.log.said:
            return "no-vouch"
        index, logged_at, name, event = self.log.said[(issuer, subject, scope)]
        if name != "vouch":
            return {"revocation": "revoked", "distrust": "distrusted"}[name]
        if self.now >= min(event["expiresAt"], logged_at + YEAR):
            return "expired"
        if self.status(issuer) == "deactivated":
            return "issuer-deactivated"
        if self.log.states[issuer].void(index):
            return "void"
        return None

    def edges(self):
        """Every edge in a scope that matches; specs/trust.md, "Vouches"."""
        for issuer, subject, scope in self.log.said:
            if not self.matches(scope) or self.broken(issuer, subject, scope) is not None:
                continue
            if self.status(subject) == "deactivated":
                continue
            if subject == self.target and self.status(subject) == "compromised":
                continue
            yield issuer, subject, scope, self.log.said[(issuer, subject, scope)][3]

    def factor(self, level):
        return WEIGHTS[level] * self.ask["decay"]

    def best(self):
        """The best path, forward from the roots, for each length by itself."""
        edges = list(self.edges())
        found = []
        for length in range(self.ask["maxHops"] + 1):
            # For each DID the greatest numerator and, of those, the first way there.
            reached = {
                root: (-weight, [root], []) for root, weight in self.roots.items() if root not in self.bans
            }
            for place in range(1, length + 1):
                following = {}
                for issuer, subject, scope, vouch in edges:
                    if issuer not in reached or subject in self.bans:
                        continue
                    if vouch.get("depth", 7) < length - place:
                        continue
                    value, dids, scopes = reached[issuer]
                    way = (
                        value * self.factor(vouch["level"]),
                        dids + [subject],
                        scopes + [SCOPES.index(scope)],
                    )
                    if subject not in following or way < following[subject]:
                        following[subject] = way
                reached = following
            if self.target in reached:
                value, dids, scopes = reached[self.target]
                found.append((value * 10 ** (5 * (7 - length)), dids, scopes))
        if not found or self.status(self.target) in ("unregistered", "deactivated"):
            return None
        if self.status(self.target) == "compromised":
            return None
        _, dids, scopes = min(found)
        steps = [{"scope": SCOPES[scope], "to": to} for scope, to in zip(scopes, dids[1:])]
        return {"root": dids[0], "steps": steps}

    def path(self, path):
        root, steps = path["root"], path["steps"]
        judged = {"broken": None, "hops": [], "root": root, "score": 0, "social": 0, "steps": steps}
        judged["weight"] = self.roots.get(root, 0)
        value, broken = self.walk(judged, [root] + [step["to"] for step in steps])
        judged["broken"] = broken
        judged["social"] = value // 10**32
        return judged, value

    def walk(self, judged, dids):
        length = len(dids) - 1
        if not judged["weight"]:
            return 0, {"hop": 0, "reason": "not-root"}
        if length > self.ask["maxHops"]:
            return 0, {"hop": length, "reason": "too-long"}
        if dids[-1] != self.target:
            return 0, {"hop": length, "reason": "other-target"}
        for place, did in enumerate(dids):
            if did in self.bans:
                by, index = min(self.bans[did].items())
                return 0, {"by": by, "hop": place, "index": index, "reason": "banned"}
        value = judged["weight"] * 10**35
        for place in range(1, length + 1):
            issuer, subject, scope = dids[place - 1], dids[place], judged["steps"][place - 1]["scope"]
            reason = self.broken(issuer, subject, scope) if self.matches(scope) else "other-scope"
            if reason is None:
                index, logged_at, _, vouch = self.log.said[(issuer, subject, scope)]
                if vouch.get("depth", 7) < length - place:
                    reason = "depth"
                elif subject == self.target and self.status(subject) == "compromised":
                    reason = "target-compromised"
            if reason is not None:
                return 0, {"hop": place, "reason": reason}
            value = value * self.factor(vouch["level"]) // 10**5
            judged["hops"].append({
                "depth": vouch.get("depth"),
                "expires": min(vouch["expiresAt"], logged_at + YEAR),
                "from": issuer,
                "index": index,
                "level": vouch["level"],
                "product": value // 10**32,
                "scope": scope,
                "to": subject,
            })
        return value, None

    def qualified(self, did):
        if did == self.target or did not in self.log.states:
            return False
        if did in self.roots:
            return True
        if self.status(did) == "deactivated":
            return False
        for root in self.roots:
            for scope in ("CODE_SIGNING", "GENERAL"):
                if self.broken(root, did, scope) is None:
                    if self.log.said[(root, did, scope)][3]["level"] != "WEAK":
                        return True
        return False

    def history(self):
        state = self.log.states[self.target]
        since = -1 if state.since is None else state.since
        this = week(self.now)
        weeks = {
            week(logged_at)
            for index, (did, logged_at, _, _) in self.log.artifacts.items()
            if did == self.target and index > since and not state.void(index)
        }
        weeks = len([number for number in weeks if this - 25 <= number <= this])
        confirmers = []
        for did, confirmations in sorted(self.log.confirmations.get(self.target, {}).items()):
            if not self.qualified(did):
                continue
            void = self.log.states[did].void
            in_weeks = {
                week(logged_at)
                for index, logged_at, receipt, build in confirmations
                if receipt > since and not state.void(receipt) and not void(index) and not void(build)
            }
            if in_weeks:
                confirmers.append({"counted": min(4, len(in_weeks)), "did": did, "weeks": len(in_weeks)})
        confirmed = sum(confirmer["counted"] for confirmer in confirmers)
        equivocations = []
        last = {}
        for index, logged_at, by, name, event in self.log.negatives.get(self.target, []):
            if name == "equivocation":
                answered = all(state.answers_for(receipt["index"]) for receipt in event["receipts"])
                if index > since and answered and not equivocations:
                    equivocations.append({"by": by, "index": index})
            elif not self.log.states[by].void(index):
                last[by] = (index, logged_at, name, event)
        failures = []
        for by, (index, logged_at, name, event) in sorted(last.items()):
            fresh = self.now - logged_at < 180 * DAY
            if name == "failure" and index > since and fresh and self.qualified(by):
                failures.append({
                    "artifact": event["artifact"],
                    "by": by,
                    "index": index,
                    "reason": event["reason"],
                    "time": logged_at,
                })
        history = {
            "activity": ONE * min(weeks, 12) // 12,
            "confirmation": ONE * min(confirmed, 12) // 12,
            "confirmed": confirmed,
            "confirmers": confirmers,
            "equivocations": equivocations,
            "failures": failures,
            "since": state.since,
            "weeks": weeks,
        }
        history["positive"] = self.positive(history["activity"], history["confirmation"])
        history["negative"] = ONE
        for _ in failures:
            history["negative"] = history["negative"] * 3 // 4
        if equivocations or state.status == "compromised":
            history["negative"] = 0
        return history

    def positive(self, activity, confirmation):
        floor = self.ask["floor"]
        return floor + (ONE - floor) * ((activity + confirmation) // 2) // ONE

    def disjoint(self, judged):
        strong = [
            ({path["root"]} | {step["to"] for step in path["steps"]}) - ({self.target} if path["steps"] else set())
            for path, value in judged
            if value > 0 and path["score"] >= self.ask["threshold"]
        ]
        best = 0

        def extend(at, used, count):
            nonlocal best
            best = max(best, count)
            for other in range(at, len(strong)):
                if not strong[other] & used:
                    extend(other + 1, used | strong[other], count + 1)

        extend(0, frozenset(), 0)
        return best

    def verdict(self):
        ask = self.ask
        status = self.status(self.target)
        verdict = {name: ask[name] for name in ("decay", "floor", "maxHops", "minPaths", "scope", "target")}
        verdict["threshold"], verdict["time"] = ask["threshold"], ask["time"]
        verdict["roots"] = sorted(ask["roots"], key=lambda root: root["did"])
        verdict["standing"] = status
        if status in ("unregistered", "deactivated"):
            names = ("activity", "confirmation", "confirmed", "negative", "positive", "weeks")
            history = {name: 0 for name in names}
            history.update(confirmers=[], equivocations=[], failures=[], since=None)
            advice = [{"advice": "register"}] if status == "unregistered" else []
            verdict.update(
                advice=advice, behaviour=0, best=None, causes=[{"cause": status}], disjointPaths=0,
                history=history, passes=False, paths=[], score=0, social=0,
            )
            return verdict
        history = self.history()
        behaviour = history["positive"] * history["negative"] // ONE
        judged = [self.path(path) for path in ask["paths"]]
        for path, _ in judged:
            path["score"] = path["social"] * behaviour // ONE

        def rank(at):
            path, value = judged[at]
            scopes = [SCOPES.index(step["scope"]) for step in path["steps"]]
            return (-value, [path["root"]] + [step["to"] for step in path["steps"]], scopes, -at)

        best = min((at for at, (_, value) in enumerate(judged) if value > 0), key=rank, default=None)
        social = 0 if best is None else judged[best][0]["social"]
        score = social * behaviour // ONE
        found = self.disjoint(judged)
        causes, fails = [], False
        if status == "compromised":
            causes.append({"cause": "compromised"})
            fails = True
        bans = sorted(self.bans.get(self.target, {}).items())
        for by, index in bans:
            causes.append({"by": by, "cause": "distrusted", "index": index})
            fails = True
        if best is None and status != "compromised":
            causes.append({"cause": "no-path"})
            fails = True
        causes += [dict(equivocation, cause="equivocation") for equivocation in history["equivocations"]]
        for failure in history["failures"]:
            causes.append({"by": failure["by"], "cause": "failure", "index": failure["index"]})
        if history["positive"] < ONE:
            causes.append({"cause": "history"})
        if score < ask["threshold"]:
            causes.append({"cause": "below-threshold"})
            fails = True
        if ask["minPaths"] > 1 and found < ask["minPaths"]:
            causes.append({"cause": "paths", "found": found, "needed": ask["minPaths"]})
            fails = True
        verdict.update(
            advice=self.advice(status, bans, history, behaviour, social, score, best, judged),
            behaviour=behaviour, best=best, causes=causes, disjointPaths=found, history=history,
            passes=not fails, paths=[path for path, _ in judged], score=score, social=social,
        )
        return verdict

    def advice(self, status, bans, history, behaviour, social, score, best, judged):
        if status == "compromised":
            return [{"advice": "recover"}]
        direct_vouch = []
        by = min(self.roots, key=lambda root: (-self.roots[root], root))
        if by != self.target:
            direct = self.roots[by] * self.factor("STRONG") * 10**30 // 10**32
            direct_vouch.append({"advice": "direct-vouch", "by": by, "score": direct * behaviour // ONE})
        if bans:
            lifts = [{"advice": "lift-distrust", "by": by, "index": index} for by, index in bans]
            return lifts + [item for item in direct_vouch if not judged and item["score"] > score]
        if history["equivocations"]:
            return [{"advice": "recover"}]
        advice = direct_vouch
        if best is not None:
            path = judged[best][0]
            for place, hop in enumerate(path["hops"]):
                if WEIGHTS[hop["level"]] == 100:
                    continue
                value = path["weight"] * 10 ** (5 * (7 - len(path["hops"])))
                for other, step in enumerate(path["hops"]):
                    value *= self.factor("STRONG" if other == place else step["level"])
                stronger = value // 10**32 * behaviour // ONE
                advice.append(
                    {"advice": "stronger-vouch", "by": hop["from"], "hop": place + 1, "score": stronger}
                )
        activity, confirmation, negative = (history[name] for name in ("activity", "confirmation", "negative"))

        def then(activity, confirmation, negative):
            return social * (self.positive(activity, confirmation) * negative // ONE) // ONE

        advice.append({
            "advice": "activity",
            "score": then(ONE, confirmation, negative),
            "weeks": max(0, 12 - history["weeks"]),
        })
        advice.append({
            "advice": "confirmations",
            "score": then(activity, ONE, negative),
            "weeks": max(0, 12 - history["confirmed"]),
        })
        advice.append({"advice": "withdrawals", "score": then(activity, confirmation, ONE)})
        return [item for item in advice if item["score"] > score]


def answer(question):
    log = Log(question["origin"])
    broken = []
    for index, leaf in question["entries"]:
        if index >= question["size"]:
            break
        try:
            log.push(index, leaf)
        except Broken:
            broken.append(index)
    judge = Judge(log, question)
    return {"best": judge.best(), "broken": broken, "verdict": judge.verdict()}


def main():
    for line in sys.stdin:
        print(dumps(answer(json.loads(line))), flush=False)


if __name__ == "__main__":
    main()
